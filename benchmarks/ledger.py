"""The ledger: `python -m benchmarks.ledger [--entries N]`.

Chains N entries, verifies the chain, makes the Merkle root and a proof, and checks an export offline as
`boarfish ledger verify FILE` does. Its peer is SHA-256 over the file's bytes once, the least that any check
can do. Figures are medians of `--rounds`.
"""

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable

from boarfish.ledger_check import check_export
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.ledger import Entry, chain, merkle, verify
from audit.ledger.checkpoint import Checkpoint, signed_note, verifier_key

ORIGIN = "benchmark"


def entries(count: int) -> list[Entry]:
    """Entries as registrations of model versions give them."""
    made: list[Entry] = []
    for number in range(count):
        made.append(
            chain(
                made[-1] if made else None,
                record_time="2026-01-01T12:00:00.000000Z",
                actor="training",
                action="model_version.registered",
                subject=f"model_versions/{number}",
                details={"accuracy": 0.8123, "dataset": "people", "dataset_version": number},
                request_id=str(number),
            )
        )
    return made


def export(made: list[Entry], leaves: list[bytes]) -> list[str]:
    """The lines of an export, signed by a key of the moment."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    note = signed_note(Checkpoint(ORIGIN, len(made), merkle.root(leaves)).text(), ORIGIN, public, key.sign)
    lines = [f"{entry.hash}  {entry.content()}\n" for entry in made]
    return [*lines, "\n", f"{verifier_key(ORIGIN, public)}\n", *note.splitlines(keepends=True)]


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The median time of `work`."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    count = options.entries
    made = entries(count)
    leaves = [merkle.leaf_hash(entry.content().encode()) for entry in made]
    lines = export(made, leaves)
    whole = "".join(lines).encode()
    assert verify(made).valid
    assert check_export(lines).holds
    checked = seconds(lambda: check_export(lines), options.rounds)
    least = seconds(lambda: hashlib.sha256(whole).digest(), options.rounds)
    print(f"{count:,} entries, an export of {len(whole) / 1e6:.1f} MB")
    print(f"chain verified          {seconds(lambda: verify(made), options.rounds):8.3f} s")
    print(f"Merkle root             {seconds(lambda: merkle.root(leaves), options.rounds):8.3f} s")
    made_proof = seconds(lambda: merkle.inclusion_path(leaves, count // 2), options.rounds)
    print(f"inclusion proof made    {made_proof:8.3f} s")
    print(f"export checked offline  {checked:8.3f} s, {checked / least:.0f} times SHA-256 of its bytes")


if __name__ == "__main__":
    main()
