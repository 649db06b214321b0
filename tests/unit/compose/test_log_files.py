from __future__ import annotations

from pathlib import Path

from compose.launcher.log_files import bound_log


def test_a_full_log_is_moved_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    with path.open("ab", buffering=0) as log:
        log.write(b"one\n" * 3)

        assert [False, True] == [bound_log(path, 12), bound_log(path, 11)]
        log.write(b"two\n")

    assert (b"two\n", b"one\n" * 3) == (path.read_bytes(), path.with_suffix(".log.1").read_bytes())
