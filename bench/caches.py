"""
Measure what a depot may keep packages and npm's modules with.

    python bench/caches.py [--machines N] [--release NAME] [--verdaccio VERSION] [--write]

Makes a sandbox with a depot, and installs apt-cacher-ng and verdaccio beside labkit's own nginx.
All machines at once take the same packages and modules through the one and through the others:
from an empty cache, once more, and while nobody upstream answers. Needs root. Prints a Markdown
table; --write puts it into README.md.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from measure import ROOT, Sandbox, bench, labkit, out, run, timed, told

MB = 10**6
PACKAGES = "docker.io git"
HEAD = "| | labkit's nginx | apt-cacher-ng and verdaccio |"
# In a folder of its own: neither what the machine has nor how it is set up is to play a part.
APT = (
    "rm -rf /tmp/apt && mkdir -p /tmp/apt/lists/partial /tmp/apt/archives/partial && "
    "apt() {{ apt-get -q -y -o Acquire::http::Proxy={proxy} -o Dir::State::lists=/tmp/apt/lists "
    "-o Dir::Cache=/tmp/apt -o APT::Update::Error-Mode=any -o APT::Sandbox::User=root "
    '-o Acquire::Retries=0 "$@"; }} && '
    f"apt update && apt install --download-only {PACKAGES}"
)
NPM = (
    "printf '{npm}/%s\\n' {paths} | "
    "xargs -n 1 -P 8 curl -sSf -o /dev/null -H 'Accept: application/vnd.npm.install-v1+json'"
)
INSTALLED = (
    "dpkg-query -W -f '${Installed-Size}\\n'; "
    "du -sk /usr/local/lib/node_modules 2>/dev/null || true"
)
# The counter of the packets that neither the class nor the depot itself sent.
COUNT = "apt-get -q -y install iptables && iptables -A INPUT ! -i lo ! -s {network} -j ACCEPT"
COUNTED = "iptables -nvxL INPUT | awk 'NR == 3 {print $2}'; iptables -Z INPUT"
PSS = '$1 == "Pss:" {s += $2} END {print s}'
# apt-cacher-ng starts as soon as it is installed, on the port that the depot has; and what it asks
# for Debian's packages is a mirror of its own choice, not the one that machines ask.
OTHERS = """set -e
export DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/apt-cacher-ng
echo 'Port: 3143' >/etc/apt-cacher-ng/zz-bench.conf
apt-get -q -y install --no-install-recommends apt-cacher-ng nodejs npm
sed -n 's/^URIs: //p' /etc/apt/sources.list.d/debian.sources | head -n 1 \\
  >/etc/apt-cacher-ng/backends_debian
systemctl restart apt-cacher-ng
npm install --silent --global verdaccio@{version}
mkdir -p /var/lib/verdaccio
cat >/etc/verdaccio.yml <<END
storage: /var/lib/verdaccio
uplinks:
  npmjs: {{url: "$(npm config get registry)"}}
packages:
  "**": {{access: \\$all, proxy: npmjs}}
END
systemd-run --unit verdaccio --setenv NODE_ENV=production \\
  verdaccio --config /etc/verdaccio.yml --listen 0.0.0.0:4873
for wait in $(seq 60); do curl -sf -o /dev/null http://127.0.0.1:4873/-/ping && exit; sleep 1; done
exit 1
"""


@dataclass(frozen=True)
class Cache:
    """Where one of them answers, and the units whose memory is its."""

    proxy: int
    npm: str
    units: tuple[str, ...]


CACHES = (
    Cache(3142, ":5080/npm", ("labkit-depot-nginx",)),
    Cache(3143, ":4873", ("apt-cacher-ng", "verdaccio")),
)


def modules() -> Iterator[str]:
    """Yield what `npm ci` asks for: each module's list of versions, and the archive of one."""
    for path, one in json.loads((ROOT / "todo/package-lock.json").read_text())["packages"].items():
        if name := path.rpartition("node_modules/")[2]:
            yield name
            yield f"{name}/-/{name.rpartition('/')[2]}-{one['version']}.tgz"


class Bench:
    """The class that is measured."""

    def __init__(self, made: Sandbox) -> None:
        self.inventory = made.inventory
        host = json.loads(out("ansible-inventory", "-i", str(made.inventory), "--host", "depot"))
        self.address = host["ansible_host"]
        self.modules = " ".join(modules())

    def at_depot(self, line: str) -> str:
        """Return what a line of sh says as root at the depot."""
        words = ["ansible", "-i", str(self.inventory), "depot", "-b", "-m", "ansible.builtin.shell"]
        done = subprocess.run([*words, "-a", line], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{line}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout.partition(">>\n")[2].strip()

    def everywhere(self, line: str) -> float:
        """Return the seconds that a line of sh takes as root on all machines at once."""
        words = ["ansible", "-i", self.inventory, "machines", "-b", "-f", 50]
        return timed([*words, "-m", "ansible.builtin.shell", "-a", line])

    def installed(self) -> float:
        """Return the megabytes that packages and global modules take at the depot."""
        kilobytes = self.at_depot(f"({INSTALLED}) | awk '{{s += $1}} END {{print s}}'")
        return int(kilobytes) * 1024 / MB

    def megabytes(self) -> float:
        """Return what came to the depot from elsewhere than its class, since it was asked last."""
        return int(self.at_depot(COUNTED)) / MB

    def memory(self, cache: Cache) -> float:
        """Return the megabytes of memory that its processes have for themselves."""
        each = f"for one in {' '.join(cache.units)}; do systemctl show -P MainPID $one; done"
        all_of = f"for one in $({each}); do echo $one; pgrep -P $one; done"
        line = f"({all_of}) | sed 's|.*|/proc/&/smaps_rollup|' | xargs awk '{PSS}'"
        return int(self.at_depot(line)) * 1024 / MB

    def packages(self, cache: Cache) -> float:
        return self.everywhere(APT.format(proxy=f"http://{self.address}:{cache.proxy}"))

    def npm(self, cache: Cache) -> float:
        npm = f"http://{self.address}{cache.npm}"
        return self.everywhere(NPM.format(npm=npm, paths=self.modules))


def measure(made: Sandbox, given: argparse.Namespace) -> Iterator[str]:
    """Give the table's rows."""
    if os.getuid():
        sys.exit("a sandbox on a release of one's choice takes root")
    made.up(given.machines, "--depot", "--release", given.release)
    run(labkit("depot", "up", "-i", made.inventory))
    one = Bench(made)
    one.everywhere("apt-get -q update && apt-get -q -y install curl")
    one.at_depot(COUNT.format(network=f"{one.address}/24"))
    before = one.installed()
    one.at_depot(OTHERS.format(version=given.verdaccio))
    yield told(f"| installed for it alone, MB | 0 | {one.installed() - before:.0f} |")
    for what, fetch in (("packages", one.packages), ("modules", one.npm)):
        for when in ("from an empty cache", "again"):
            cells = []
            for cache in CACHES:
                one.megabytes()
                seconds = fetch(cache)
                cells.append(f"{seconds:.1f} s, {one.megabytes():.1f} MB upstream")
            yield told(f"| {what}, {when} | {' | '.join(cells)} |")
    cells = [f"{one.memory(cache):.0f}" for cache in CACHES]
    yield told(f"| memory afterwards, MB | {' | '.join(cells)} |")
    one.at_depot("ip route del default")
    for what, fetch in (("packages", one.packages), ("modules", one.npm)):
        cells = [answered(fetch, cache) for cache in CACHES]
        yield told(f"| {what}, nobody upstream | {' | '.join(cells)} |")


def answered(fetch: Callable[[Cache], float], cache: Cache) -> str:
    """Tell how a cache does without upstream."""
    try:
        return f"{fetch(cache):.1f} s"
    except SystemExit as why:
        told(str(why))
        return "no answer"


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--machines", type=int, default=6)
    parser.add_argument("--release", default="trixie", help="of Debian, for all machines")
    # Newer ones want node-fetch by a tag that not every mirror of npm's registry hands on.
    parser.add_argument("--verdaccio", default="5.20.1", metavar="VERSION")
    bench("caches", HEAD, parser, measure)


if __name__ == "__main__":
    main()
