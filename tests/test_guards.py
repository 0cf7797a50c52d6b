"""The guards that every test gets must bark; each case is run by a pytest of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LEAKS = {
    "descriptors left open": """
        import socket
        KEPT = []
        def test_it():
            KEPT.append(socket.socketpair())
    """,
    "threads left running": """
        import threading
        def test_it():
            threading.Thread(target=threading.Event().wait, args=(10,), daemon=True).start()
    """,
    "shared memory left behind": """
        import os
        from pathlib import Path
        def test_it(request):
            path = Path(f"/dev/shm/unisono-guard-{os.getpid()}-x")
            path.touch()
            request.config.add_cleanup(path.unlink)
    """,
    "tasks left running": """
        import asyncio
        async def test_it():
            asyncio.get_running_loop().create_task(asyncio.sleep(10))
            await asyncio.sleep(0)
    """,
    "Blocking call to time.sleep": """
        from unisono.cli.demo import view
        async def test_it():
            exec(compile("import time; time.sleep(0.01)", view.__file__, "exec"), {})
    """,
}

CLEAN = """
    import asyncio, socket, threading
    async def test_loop():
        await asyncio.gather(asyncio.sleep(0.01), asyncio.to_thread(int))
    def test_plain():
        for end in socket.socketpair():
            end.close()
        threading.Thread(target=int).start()
"""


def _run(case: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The case, under the guards, in a pytest of its own."""
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    (folder / "test_case.py").write_text(textwrap.dedent(case))
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", f"--rootdir={folder}"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-c", ROOT / "pyproject.toml", folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("complaint", LEAKS)
def test_guard_when_something_is_left_fails_the_test(complaint: str, tmp_path: Path) -> None:
    answer = _run(LEAKS[complaint], tmp_path)
    assert answer.returncode == 1, answer.stdout
    assert complaint in answer.stdout


def test_guards_when_nothing_is_left_stay_silent(tmp_path: Path) -> None:
    answer = _run(CLEAN, tmp_path)
    assert answer.returncode == 0, answer.stdout
