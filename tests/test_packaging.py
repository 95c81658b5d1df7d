"""Packages are folders, imports go where they may, versions are pinned, no file is of one host."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

PARTS = ("spec", "hdl", "sim", "host", "boards")
PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
REQUIREMENTS = (
    PROJECT["build-system"]["requires"]
    + PROJECT["project"]["dependencies"]
    + [line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra]
)

# Written so that the patterns do not find themselves.
MACHINE_PATHS = re.compile(rb"(?<![\w.])/(?:work|farm|home|root|Users)/\w|(?<![\w.])/tmp/\w")
PACKAGE_INDEXES = re.compile(rb"index[-_]url|find[-_]links|trusted[-_]host")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def tracked_files(repository):
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git repository: which files are tracked is not known")
    names = [name.decode() for name in listing.stdout.split(b"\0") if name]
    return [repository / name for name in names if (repository / name).is_file()]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_the_packages_are_the_folders(repository):
    folders = {
        f"tickgate.{'.'.join(path.parent.relative_to(repository).parts)}"
        for part in PARTS
        for path in (repository / part).rglob("*.py")
    }
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    assert set(listed) == folders
    mapped = PROJECT["tool"]["setuptools"]["package-dir"]
    assert mapped == {f"tickgate.{part}": part for part in PARTS}


def test_every_package_says_what_it_is(repository):
    for part in PARTS:
        for path in (repository / part).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path.parent
            docstring = ast.get_docstring(ast.parse(path.read_text()))
            assert docstring, path
            assert docstring != "Placeholder.", path


def test_files_that_are_not_python_are_package_data(repository):
    data = PROJECT["tool"]["setuptools"]["package-data"]
    for path in tracked_files(repository):
        place = path.relative_to(repository)
        if place.parts[0] in PARTS and path.suffix != ".py":
            package = f"tickgate.{'.'.join(place.parent.parts)}"
            assert any(path.match(pattern) for pattern in data.get(package, [])), place


def test_the_import_rules_hold(repository):
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " 0 broken" in run.stdout


def test_spec_imports_the_standard_library_and_itself_only(repository):
    for path in (repository / "spec").rglob("*.py"):
        for name in imports(path):
            top = name.partition(".")[0]
            assert top in sys.stdlib_module_names or name.startswith("tickgate.spec"), (path, name)


def test_the_models_import_spec_and_each_other_only(repository):
    allowed = ("tickgate.spec", "tickgate.sim.model")
    for path in (repository / "sim" / "model").rglob("*.py"):
        for name in imports(path):
            top = name.partition(".")[0]
            ours = name.startswith(allowed)
            assert ours or top == "numpy" or top in sys.stdlib_module_names, (path, name)


def test_every_direct_dependency_is_pinned_exactly():
    for requirement in REQUIREMENTS:
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[0-9][A-Za-z0-9.]*", requirement)


def installed_dependencies():
    """Returns name and version of what is installed because tickgate asks for it."""
    found = {}
    names = [canonical(re.match(r"[\w.-]+", requirement)[0]) for requirement in REQUIREMENTS]
    while names:
        name = names.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if name not in found:
            found[name] = distribution.version
            names += [
                canonical(re.match(r"[\w.-]+", requirement)[0])
                for requirement in distribution.requires or ()
                if "extra ==" not in requirement
            ]
    return found


def test_every_dependency_of_a_dependency_is_pinned_too(repository):
    lines = (repository / "constraints.txt").read_text().splitlines()
    pins = {canonical(name): version for name, version in (line.split("==") for line in lines)}
    for requirement in REQUIREMENTS[len(PROJECT["build-system"]["requires"]) :]:
        name, version = re.sub(r"\[.*\]", "", requirement).split("==")
        assert pins.get(canonical(name)) == version, requirement
    for name, version in installed_dependencies().items():
        if name != "setuptools":  # comes with the virtual environment
            assert pins.get(name) == version, f"{name} {version} is not so in constraints.txt"


def test_the_license_is_the_apache_license_in_full(repository):
    text = (repository / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n")
    assert "Version 2.0, January 2004" in text
    assert text.rstrip().endswith("limitations under the License.")
    assert len(text.splitlines()) == 201
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_the_commands_of_the_package_can_be_loaded():
    distribution = metadata.distribution("tickgate")
    points = [point for point in distribution.entry_points if point.group != "pytest11"]
    assert "tickgate" in {point.name for point in points if point.group == "console_scripts"}
    for point in points:
        assert callable(point.load()), point


def test_no_file_names_a_place_on_one_machine_or_a_package_index(repository):
    for path in tracked_files(repository):
        content = path.read_bytes()
        for pattern in (MACHINE_PATHS, PACKAGE_INDEXES):
            found = pattern.search(content)
            assert found is None, (path.relative_to(repository), found)
