"""The key is made once and kept shut; what was signed is never signed over."""

import stat
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from boarfish import ledger_check
from boarfish.errors import FailedPrecondition, NotFound
from boarfish.v1 import monitoring_pb2 as pb
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.monitoring import ledger, tables
from services.monitoring.checkpoints import Checkpoints


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    made = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    tables.metadata.create_all(made)
    return made


def append(engine: sa.Engine, first: int, last: int) -> None:
    with engine.begin() as connection:
        for number in range(first, last + 1):
            ledger.append(connection, ledger.Line(f"r{number}", "Ada", "audit.completed", f"audits/{number}"))


def size(signed: pb.LedgerCheckpoint) -> int:
    return ledger_check.checkpoint_of(signed.note, signed.verifier_key).size


def test_the_key_is_made_at_first_start_and_is_its_owners_alone(engine: sa.Engine, tmp_path: Path) -> None:
    first = Checkpoints(engine, tmp_path / "keys").sign()
    assert stat.S_IMODE((tmp_path / "keys/key.pem").stat().st_mode) == 0o600
    again = Checkpoints(engine, tmp_path / "keys").sign()
    assert (again.verifier_key, again.note) == (first.verifier_key, first.note)
    assert Checkpoints(engine, tmp_path / "other").sign().verifier_key != first.verifier_key
    assert ledger_check.signature_problem(ledger_check.checkpoint_of(first.note, first.verifier_key)) is None


def test_a_key_of_another_kind_is_refused(engine: sa.Engine, tmp_path: Path) -> None:
    key = generate_private_key(SECP256R1())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(FailedPrecondition, match="holds no Ed25519 key"):
        Checkpoints(engine, tmp_path)
    (tmp_path / "key.pem").write_text("nonsense")
    with pytest.raises(FailedPrecondition, match="holds no Ed25519 key"):
        Checkpoints(engine, tmp_path)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_ledger_of_none_of_one_and_of_five_is_signed_and_grows(
    engine: sa.Engine, tmp_path: Path, count: int
) -> None:
    append(engine, 1, count)
    checkpoints = Checkpoints(engine, tmp_path)
    assert size(checkpoints.sign()) == count
    append(engine, count + 1, count + 3)
    grown = checkpoints.get(pb.GetLedgerCheckpointRequest(earlier_entry_count=count))
    assert size(grown.checkpoint) == count + 3
    assert size(Checkpoints(engine, tmp_path).sign()) == count + 3
    with pytest.raises(NotFound, match=f"the ledger has {count + 3}"):
        checkpoints.prove(count + 4)
    with pytest.raises(FailedPrecondition, match="earlier checkpoint speaks of 99"):
        checkpoints.get(pb.GetLedgerCheckpointRequest(earlier_entry_count=99))


@pytest.mark.parametrize(
    ("touch", "told"),
    [
        ("DELETE FROM ledger WHERE sequence = 5", "entry 5 is missing"),
        ("DELETE FROM ledger WHERE sequence > 2", "entry 5 is missing"),
        ("UPDATE ledger SET actor = 'Bob' WHERE sequence = 5", "entry 5 was altered"),
        ("UPDATE ledger SET details = 'x' WHERE sequence = 5", "entry 5 was altered"),
        ("UPDATE ledger SET details = '{\"a\": NaN}' WHERE sequence = 5", "entry 5 was altered"),
        ("UPDATE ledger SET details = '[\"\\ud800\"]' WHERE sequence = 5", "entry 5 was altered"),
    ],
)
def test_while_it_runs_the_newest_entry_must_stay(
    engine: sa.Engine, tmp_path: Path, touch: str, told: str
) -> None:
    append(engine, 1, 5)
    checkpoints = Checkpoints(engine, tmp_path)
    kept = checkpoints.sign()
    with engine.begin() as connection:
        connection.execute(sa.text(touch))
    with pytest.raises(FailedPrecondition, match=told):
        checkpoints.sign()
    assert (tmp_path / "checkpoint").read_text() == kept.note
    lines = "".join(part.content for part in checkpoints.export()).splitlines(keepends=True)
    assert not ledger_check.check_export(lines).holds


@pytest.mark.parametrize("at", [1, 3, 6])
def test_a_gap_is_found_at_the_next_start(engine: sa.Engine, tmp_path: Path, at: int) -> None:
    append(engine, 1, 6)
    Checkpoints(engine, tmp_path).sign()
    with engine.begin() as connection:
        connection.execute(sa.text(f"DELETE FROM ledger WHERE sequence = {at}"))
    with pytest.raises(FailedPrecondition, match=r"is missing|6 entries were signed, and 5 are there"):
        Checkpoints(engine, tmp_path).sign()


def test_a_kept_checkpoint_that_cannot_be_read_is_not_written_over(engine: sa.Engine, tmp_path: Path) -> None:
    append(engine, 1, 2)
    (tmp_path / "checkpoint").write_text("nonsense")
    with pytest.raises(FailedPrecondition, match="holds no checkpoint any more"):
        Checkpoints(engine, tmp_path).sign()
    assert (tmp_path / "checkpoint").read_text() == "nonsense"


def test_signing_from_several_threads_gives_one_history(engine: sa.Engine, tmp_path: Path) -> None:
    checkpoints = Checkpoints(engine, tmp_path)
    signed: list[int] = []

    def sign() -> None:
        signed.extend(size(checkpoints.sign()) for _ in range(5))

    threads = [threading.Thread(target=sign) for _ in range(4)]
    for thread in threads:
        thread.start()
    append(engine, 1, 8)
    for thread in threads:
        thread.join()
    assert len(signed) == 20
    assert size(Checkpoints(engine, tmp_path).sign()) == 8
