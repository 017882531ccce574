import asyncio
import re
import sys
from pathlib import Path

import quietus_edge
from tests.edge.fake_suite import API_KEY, running_suite
from tests.edge.make import environment

README = Path(quietus_edge.__file__).parents[1] / "README.md"


async def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    (tmp_path / "device.key").write_text(API_KEY)
    async with running_suite() as suite:
        code = re.sub(r"127\.0\.0\.1:\d+", suite.address, found[1])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, cwd=tmp_path, env=environment(), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert "acknowledged=2" in out.decode()
    assert [modality for _, _, modality in suite.stored] == ["vision", "text"]
    assert len({chunk for _, chunk, _ in suite.stored}) == 1
