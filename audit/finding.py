"""What a check of the library says: how large an effect is, whether it is there, and in plain words what it
means.
"""

from dataclasses import dataclass

from audit.estimate import Estimate


@dataclass(frozen=True)
class Finding:
    """One sign. `effect` says how large, `found` whether it is there at the stated level, `advice` what would
    settle or mend it. With too little data nothing is found, and the sentence and the effect's warnings say
    how little.
    """

    name: str
    effect: Estimate
    found: bool
    sentence: str
    advice: str


def not_told(name: str, effect: Estimate, advice: str) -> Finding:
    """Nothing can be told yet; the first of the effect's warnings says why."""
    reason = effect.warnings[0] if effect.warnings else "too little data"
    return Finding(name, effect, False, f"Cannot be told yet: {reason}.", advice)
