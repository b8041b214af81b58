"""The machine: its processor, and the cores that this process may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from mien._core.text import count


def machine() -> str:
    """The processor, how many of it, and the operating system."""
    threads = count(os.cpu_count() or 1, "logical processor")
    return f"{_processor()}, {threads}, {platform.system()} {platform.release()}"


def _processor() -> str:
    """The processor's name if the system reports it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def x86_features() -> frozenset[str]:
    """What the processor can do, as Linux names it ("avx2", "avx512_bf16"); empty where that is not known."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    return frozenset(
        name
        for line in text.splitlines()
        if line.startswith("flags")
        for name in line.partition(":")[2].split()
    )


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
