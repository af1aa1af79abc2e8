"""The dress rehearsal: the guide's chapters, carried out on the machines as an attendee would."""
