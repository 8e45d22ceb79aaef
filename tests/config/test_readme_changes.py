"""What README.md tells a user to change breaks neither lint nor tests, which belong to the product, not to the sample.

Each change is made in a copy of the repository, and what its user would run is run there. Changes that do not meet are
made in the same copy, each in an environment of its own where it can be.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spotfleet.configuration.quoting import dumps
from tests.support import sample_project
from tests.support.projects import ROOT, Project

# What marks a test that has to do with configuration, templates, pages or documents: what it imports.
ABOUT_CHANGES = (
    r"sample_project|tests\.sample|tests\.support\.changed|tests\.rules|lint_templates|settings_page|requirements\.in"
)
# Those that look at the environments that there are.
ABOUT_ENVIRONMENTS = r"lint_templates import|settings_page|environments\(\)"
# Those that look at what is in the place of the service.
ABOUT_ANY_SERVICE = ("tests/docs", "tests/image", "tests/spotfleet/image", "tests/tools")

IMAGE = f"example/web@sha256:{'0' * 64}"
COMPOSE = {
    "services": {
        "web": {"image": IMAGE, "ports": ["8000:8000"], "environment": {"TOKEN": "secret", "MODE": "fast"}},
        "mailer": {"image": IMAGE, "command": "python mailer.py"},
    }
}

Change = Callable[[Project], None]


def set_values(project: Project, environment: str, **settings: object) -> None:
    """Write settings into an environment's config.yaml, in the place of those that it has."""
    file = project.folder / "config" / environment / "config.yaml"
    kept = [line for line in file.read_text().splitlines() if line.partition(":")[0] not in settings]
    file.write_text("\n".join([*kept, *(f"{name}: {dumps(value)}" for name, value in settings.items()), ""]))


def add_environment(project: Project, name: str, **settings: object) -> None:
    # Not from the copy, where dev has changes of its own by now.
    shutil.copytree(sample_project.SAMPLE / "config/dev", project.folder / "config" / name)
    set_values(project, name, **settings)


def example(heading: str) -> str:
    """Return the first example of settings that README has under a heading."""
    found: list[str] = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "README.md").read_text().partition(f"**{heading}")[2], re.DOTALL
    )
    return found[0]


def use_example(project: Project, environment: str, heading: str) -> None:
    """Write an example of README into an environment's config.yaml."""
    text = example(heading)
    file = project.folder / "config" / environment / "config.yaml"
    named = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    kept = [line for line in file.read_text().splitlines() if line.partition(":")[0] not in named]
    file.write_text("\n".join([*kept, text]))


def other_sizes(project: Project) -> None:
    set_values(project, "dev", task_memory_mib=400, min_tasks=1, max_tasks=3, instance_types=["t3.small", "t3a.small"])


def from_compose(project: Project) -> None:
    (project.folder / "compose.yaml").write_text(json.dumps(COMPOSE))
    converted = project.local("convert", "compose.yaml", "--into", "shop")
    assert converted.returncode == 0, converted.stdout


def worker(project: Project) -> None:
    add_environment(project, "working", max_machines=6, services={"mailer": {"kind": "worker", "single": True}})
    service = (project.folder / "config/working/service.yaml").read_text()
    (project.folder / "config/working/mailer.yaml").write_text(service.replace('"service"', '"mailer"'))


def other_project_and_region(project: Project) -> None:
    shared = project.folder / "config/config.yaml"
    changed = re.sub(r"^project_code: .*", "project_code: shop", shared.read_text(), flags=re.MULTILINE)
    shared.write_text(re.sub(r"^region: .*", "region: eu-central-1", changed, flags=re.MULTILINE))
    project.replace("config/config.yaml", "Project: spotfleet", "Project: shop")


def new_environment(project: Project) -> None:
    add_environment(project, "staging", vpc_cidr="10.7.0.0/16", availability_zones=3, ipv6=True)
    (project.folder / "config/eu").mkdir()
    add_environment(project, "eu/live", account_id="123456789012", load_balancer_scheme="internal")


def own_pages(project: Project) -> None:
    page = (ROOT / "docs/bring-your-own-container.md").read_text()
    (project.folder / "service/handlers.py").write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0])


def further_service(project: Project) -> None:
    service = (project.folder / "config/dev/service.yaml").read_text()
    (project.folder / "config/dev/api.yaml").write_text(service.replace('"service"', '"api"'))
    use_example(project, "dev", "Add a service.")


def own_domain(project: Project) -> None:
    use_example(project, "prod", "Use my domain, with HTTPS.")


def variable_and_secret(project: Project) -> None:
    set_values(project, "staging", environment_variables={"LOG_LEVEL": "info"}, secrets={"URL": "/shop/database-url"})


def arm64(project: Project) -> None:
    add_environment(project, "arm", cpu_architecture="arm64", instance_types=["t4g.micro", "t4g.small"])


def private(project: Project) -> None:
    add_environment(project, "private", egress="endpoints", load_balancer_scheme="internal")


def database(project: Project) -> None:
    reached = {"outgoing_ports": [443, 5432, 6379, 587], "machine_security_group_ids": ["sg-0a1b2c3d4e5f67890"]}
    add_environment(project, "reaching", **reached)


def told(project: Project) -> None:
    told = {"alarms": True, "alarm_email": "me@example.com", "deployment_alarms": True, "dashboard": True}
    add_environment(project, "watched", **told)


def saving(project: Project) -> None:
    add_environment(project, "night", min_machines=0)
    use_example(project, "night", "Save money at night.")


def newest_image(project: Project) -> None:
    set_values(project, "night", machine_image="newest")


def reviewed(project: Project) -> None:
    boundary = "arn:aws:iam::123456789012:policy/bounds"
    set_values(project, "private", permissions_boundary_arn=boundary, role_path="/teams/shop/")


def pinned_base_image(project: Project) -> None:
    name = "public.ecr.aws/docker/library/python:3.13-slim-bookworm"
    pins = {name: {"digest": f"sha256:{'0' * 64}", "pinned": "2026-11-26"}}
    (project.folder / "config/base-images.json").write_text(dumps(pins))


def package(project: Project) -> None:
    # Pinned already, as another package needs it: `make requirements` would ask a package index.
    pinned = re.findall(r"^yarl==\S+", (ROOT / "service/requirements.txt").read_text(), re.MULTILINE)
    with (project.folder / "service/requirements.in").open("a") as file:
        file.write(f"{pinned[0]}\n")


# What README has under "How do I …?", by its first words; what has no change there changes no file.
CHANGES: dict[str, list[Change]] = {
    "Change a setting": [other_sizes],
    "Change a living environment": [other_project_and_region],
    "Add an environment": [new_environment],
    "Put my own service in": [own_pages],
    "Come from Copilot, ECS or Compose": [from_compose],
    "Run a worker": [worker],
    "Add a service": [further_service],
    "Use my domain, with HTTPS": [own_domain],
    "Give the service a variable or a secret": [variable_and_secret],
    "Go to arm64": [arm64],
    "Go private without NAT": [private],
    "Reach a database, a cache or a mail server": [database],
    "Be told when something is wrong": [told],
    "Save money at night": [saving],
    "Get a newer machine image": [newest_image],
    "Pass a security review": [reviewed],
    "Delete production": [],
    "Build behind a company's proxy": [],
    "Get the fixes of the base image": [pinned_base_image],
    "Add or update a package": [package],
    "Know what is in an image": [],
    "See why a launch failed": [],
    "Use other ports": [],
}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Make every change of README in a copy."""
    project = Project(tmp_path_factory.mktemp("changed"))
    for changes in CHANGES.values():
        for change in changes:
            change(project)
    return project


def test_every_way_of_the_readme_is_tried() -> None:
    ways = (ROOT / "README.md").read_text().partition("## How do I …?")[2].partition("\n## ")[0]
    assert re.findall(r"^\*\*(.+?)\.\*\*", ways, re.MULTILINE) == list(CHANGES)


def run(project: Project, *arguments: str) -> None:
    """Run a module of Python in the copy, as a user does whose shell has nothing set; it has to succeed."""
    project.variables = dict(os.environ)
    done = project.run(sys.executable, "-m", *arguments)
    assert done.returncode == 0, done.stdout[-5000:]


def run_tests(project: Project, about: str) -> None:
    """Run the fast tests in the copy whose text says that they are about something."""
    files = [
        file for file in sorted((project.folder / "tests").rglob("test_*.py")) if re.search(about, file.read_text())
    ]
    assert files
    names = [file.relative_to(project.folder).as_posix() for file in files if file.name != Path(__file__).name]
    run(project, "pytest", "-q", "-m", "not e2e and not matrix", *names)


@pytest.mark.matrix
def test_a_changed_project_passes_lint_and_tests(changed: Project) -> None:
    run(changed, "tools.lint_templates")
    run_tests(changed, ABOUT_CHANGES)


@pytest.mark.matrix
def test_a_project_with_a_program_of_its_own_passes_the_tests_that_are_left(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for path in (tmp_path / "service", tmp_path / "Dockerfile"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tmp_path / "service").mkdir()
    (tmp_path / "service/main.go").write_text("package main\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    run(project, "pytest", "--collect-only", "-q")
    run(project, "pytest", "-q", "-m", "not e2e and not matrix", *ABOUT_ANY_SERVICE)


@pytest.mark.matrix
def test_a_project_with_other_environments_passes_lint_and_tests(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (tmp_path / "config/dev").rename(tmp_path / "config/test")
    shutil.rmtree(tmp_path / "config/prod")
    run(project, "tools.lint_templates")
    run_tests(project, ABOUT_ENVIRONMENTS)
