#!/bin/sh
# Makes /repository, laid out and signed as Docker's own, out of Debian's engine: inside a
# container of Debian 13. Arguments: the releases to serve, such as debian.12~bookworm.
#
# Two engines: Debian 13's, and the one of Debian's next release, if the C library of the oldest
# machine will do for it; else Debian 13's again, under a version number of its own.
# /repository/engines says which: one line each, "package version" and "engine version".
set -eu
releases=$*
libc_of_debian_12=2.36

cd "$(mktemp -d)"
# Fetch packages of a suite into the folder of its name.
fetch() { # suite, packages
  suite=$1
  shift
  mkdir "$suite"
  sed -n "/^\$/q; s/^Suites:.*/Suites: $suite/; p" /etc/apt/sources.list.d/debian.sources > "$suite/only.sources"
  (
    cd "$suite"
    # apt fetches as a user of its own, who may not write here.
    only="-q -o Dir::Etc::SourceParts=$PWD -o Dir::Etc::SourceList=/dev/null -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086 # several words
    apt-get $only update && apt-get $only download "$@"
  )
}
apt-get -q update
apt-get -q -y install --no-install-recommends apt-utils
fetch trixie docker.io docker-cli containerd docker-buildx docker-compose
# That of the oldest machine, since runc takes what is newest of the C library.
fetch bookworm runc
newer=trixie
if fetch testing docker.io docker-cli; then
  needs=$(dpkg-deb -f testing/docker.io_*.deb Depends | sed -n 's/.*libc6 (>= \([^)]*\)).*/\1/p')
  if dpkg --compare-versions "$needs" le "$libc_of_debian_12"; then newer=testing; fi
fi

# Lay one of Debian's packages open as one of Docker's, which takes the place of Debian's.
open() { # folder of the package, its name, name of Docker's, what that depends on
  dpkg-deb -R "$1/$2"_*.deb "$3"
  cat > "$3/DEBIAN/control" <<EOF
Package: $3
Version: @VERSION@
Architecture: $(dpkg --print-architecture)
Maintainer: labkit's tests <root@localhost>
Depends: $4
Conflicts: docker.io, docker-cli, containerd, runc, docker-buildx, docker-compose
Description: $2 of Debian under the name of Docker's package
EOF
}
close() { # name, version
  sed -i "s/^Version: .*/Version: $2/" "$1/DEBIAN/control"
  # Uncompressed: it is fetched over no distance at all.
  dpkg-deb -Znone -b "$1" "$pool/$1_$(echo "$2" | tr ':~' '__').deb"
}
upstream() { # suite, package
  dpkg-deb -f "$1/$2"_*.deb Version | sed 's/^.*://; s/[+~-].*//'
}

old=$(upstream trixie docker.io)
new=$(upstream "$newer" docker.io)
number=$new
[ "$newer" = testing ] || number=${old%.*}1.0
printf '%s %s\n' "$old" "$old" "$number" "$new" > /repository/engines

containerd=$(upstream trixie containerd)
buildx=$(upstream trixie docker-buildx)
compose=$(upstream trixie docker-compose)
open trixie containerd containerd.io 'libc6, libseccomp2'
dpkg-deb -x bookworm/runc_*.deb containerd.io
open trixie docker-buildx docker-buildx-plugin libc6
open trixie docker-compose docker-compose-plugin libc6
pool=/repository/debian/pool
mkdir -p "$pool"
for release in $releases; do
  close containerd.io "$containerd-1~$release"
  close docker-buildx-plugin "$buildx-1~$release"
  close docker-compose-plugin "$compose-1~$release"
done
engine() { # folder of Debian's packages, version
  rm -rf docker-ce docker-ce-cli
  open "$1" docker.io docker-ce 'containerd.io, debconf, docker-ce-cli, iptables, libc6, libsystemd0'
  open "$1" docker-cli docker-ce-cli libc6
  # Debian moved pages from one package to the other; nobody reads them here.
  rm -rf docker-ce/usr/share/man docker-ce/usr/share/doc
  for release in $releases; do
    close docker-ce "5:$2-1~$release"
    close docker-ce-cli "5:$2-1~$release"
  done
}
engine trixie "$old"
engine "$newer" "$number"

export GNUPGHOME="$PWD/keys"
mkdir -m 700 keys
gpg --batch --passphrase '' --quick-generate-key 'Docker Release (labkit tests)' rsa3072 sign never
cd /repository/debian
gpg --armor --output /repository/debian/gpg --export
gpg --with-colons --fingerprint | sed -n '/^fpr/{s/fpr:*//; s/://; p; q}' > /repository/fingerprint
for release in $releases; do
  codename=${release#*~}
  suite=dists/$codename
  mkdir -p "$suite/stable/binary-amd64"
  apt-ftparchive packages pool | awk -v RS= -v ORS='\n\n' "/\nVersion: [^\n]*~$codename\n/" > "$suite/stable/binary-amd64/Packages"
  apt-ftparchive -o APT::FTPArchive::Release::Codename="$codename" -o APT::FTPArchive::Release::Suite="$codename" \
    -o APT::FTPArchive::Release::Components=stable -o APT::FTPArchive::Release::Architectures=amd64 release "$suite" > Release
  mv Release "$suite/"
  gpg --clearsign -o "$suite/InRelease" "$suite/Release"
done
