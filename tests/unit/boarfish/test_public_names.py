"""What `boarfish` exports is what it says, and importing it is cheap."""

import subprocess
import sys

import boarfish


def test_every_exported_name_is_there():
    for name in boarfish.__all__:
        assert getattr(boarfish, name) is not None


def test_importing_it_loads_nothing_heavy():
    code = (
        "import sys, boarfish; from boarfish import Client, load_task; "
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'torch', 'sqlalchemy') if name in "
        "sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
