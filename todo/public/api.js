// The app's API, as the page uses it.

/** An answer that is no success: what to tell about it, and the field that it is about, if it is. */
export class Refusal extends Error {
  constructor(status, { message = 'The app does not answer.', field } = {}) {
    super(message);
    Object.assign(this, { status, field });
  }

  /** Whether the app or its database is out of reach, so that the same request may succeed later. */
  get isOutage() {
    return this.status === undefined || this.status >= 500;
  }
}

/** Returns what the app answers, or throws a Refusal. */
export async function call(method, path, body) {
  const request = { method, cache: 'no-store' };
  if (body) {
    Object.assign(request, { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  }
  const response = await fetch(path, request).catch(() => {
    throw new Refusal();
  });
  // A load balancer in front of the app answers in HTML when it has lost it.
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Refusal(response.status, answer.error);
  }
  return answer;
}
