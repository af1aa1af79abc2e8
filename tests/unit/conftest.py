"""What a role brings along for its modules is found as it is on a machine."""

from pathlib import Path

import ansible.module_utils

for folder in sorted(Path(__file__).parents[2].glob("roles/*/module_utils")):
    ansible.module_utils.__path__.append(str(folder))
