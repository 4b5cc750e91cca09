"""Tools that checks need and the project does not: Python packages, programs from Debian's packages.

Nothing is installed: packages go into a virtual environment of the run, programs are unpacked.
"""
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def with_packages(*packages):
    """Runs the calling script again where these packages are, unless they are here."""
    if all(has(package) for package in packages):
        return
    with tempfile.TemporaryDirectory(prefix="heliograph-venv-") as directory:
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        python = pathlib.Path(directory) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        *packages], check=True)
        sys.exit(subprocess.run([python, *sys.argv], check=False).returncode)


def has(package):
    try:
        importlib.metadata.distribution(package)
        return True
    except importlib.metadata.PackageNotFoundError:
        return False


def beside_python(name):
    """A program that a package of the virtual environment brought, or one of the system."""
    own = pathlib.Path(sys.executable).parent / name
    return str(own) if own.exists() else shutil.which(name)


def from_debian(package, program, directory):
    """Path of a program of a Debian package, unpacked below `directory`; None elsewhere."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None
    target = pathlib.Path(directory) / package
    target.mkdir(parents=True)
    if not download(package, target):
        update = ["apt-get", "update", "-q"]
        subprocess.run(update if os.geteuid() == 0 else ["sudo", *update], check=False,
                       stdout=subprocess.DEVNULL)
        if not download(package, target):
            return None
    archive = next(target.glob("*.deb"))
    subprocess.run(["dpkg", "-x", archive, target], check=True)
    return str(target / "usr" / "bin" / program)


def download(package, target):
    return subprocess.run(["apt-get", "download", "-q", package], cwd=target, check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
