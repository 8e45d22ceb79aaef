"""The service's files in the image: readable by its user whatever their permissions were on disk."""

from pathlib import Path

import pytest

from image.prepare_service import main


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_mode & 0o7777 for path in folder.rglob("*") if not path.is_symlink()}


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "program_mode"),
    [
        (0o700, 0o600, 0o700),
        (0o750, 0o640, 0o750),
        (0o775, 0o664, 0o775),
        (0o777, 0o666, 0o777),
        (0o2700, 0o400, 0o4711),
    ],
)
def test_permissions_do_not_depend_on_the_checkout(
    tmp_path: Path, folder_mode: int, file_mode: int, program_mode: int
) -> None:
    service = tmp_path / "service"
    (service / "data").mkdir(parents=True)
    (service / "data/page.html").touch(file_mode)
    (service / "data/run").touch(program_mode)
    (service / "data/page.html").chmod(file_mode)
    (service / "data/run").chmod(program_mode)
    (service / "data").chmod(folder_mode)
    main(service)
    assert modes(service) == {"data": 0o755, "page.html": 0o644, "run": 0o755}


def test_a_link_stays_a_link_and_what_it_leads_to_stays_as_it_is(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch()
    outside.chmod(0o600)
    service = tmp_path / "service"
    service.mkdir()
    (service / "link").symlink_to(outside)
    (service / "nowhere").symlink_to("missing")
    main(service)
    assert (service / "link").readlink() == outside
    assert outside.stat().st_mode & 0o777 == 0o600


def test_modules_are_compiled_and_nothing_tells_when(tmp_path: Path) -> None:
    source = tmp_path / "service/app.py"
    source.parent.mkdir()
    source.write_text("answer = 42\n")
    written = source.stat().st_mtime
    main(tmp_path / "service")
    (compiled,) = source.parent.glob("__pycache__/*.pyc")
    assert [path.stat().st_mtime for path in (compiled, compiled.parent, source.parent)] == [0, 0, 0]
    assert source.stat().st_mtime == written


def test_a_module_that_does_not_compile_ends_the_build(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.py").write_text("answer =\n")
    with pytest.raises(SystemExit, match="do not compile"):
        main(tmp_path)
    assert "app.py" in capfd.readouterr().out
