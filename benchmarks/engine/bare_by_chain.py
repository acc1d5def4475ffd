"""The bare client again, one chain after the other on each connection: what order alone costs."""

import asyncio

from bare import run
from job import read_job

if __name__ == "__main__":
    asyncio.run(run(read_job(), is_by_chain=True))
