"""Guards on the tables themselves."""

from collections import Counter

from modbus_connection.model import PackedBitField, RegisterField
from syrupy.assertion import SnapshotAssertion

from custom_components.refu_ess.ess import BITS, BLOCKS, CHANNELS, CONDITIONS, Severity


def test_keys_are_frozen(snapshot: SnapshotAssertion) -> None:
    """Entity ids and history hang on the keys: a change needs a migration."""
    keys = {
        "channels": [entry.key for entry in CHANNELS],
        "bits": [entry.key for entry in BITS],
        "conditions": list(CONDITIONS),
    }
    every = [key for some in keys.values() for key in some]
    assert len(every) == len(set(every))
    assert keys == snapshot


def test_no_two_channels_overlap() -> None:
    """Only bits lie on a word that something else reads too."""
    for component in BLOCKS.values():
        taken = Counter(
            address
            for field in component.declared_fields.values()
            if isinstance(field, RegisterField) and not isinstance(field, PackedBitField)
            for address in range(field.address, field.address + field.count)
        )
        assert set(taken.values()) == {1}


def test_each_bit_has_one_place() -> None:
    """No bit of a word is declared twice."""
    places = Counter((entry.field.address, entry.field.mask) for entry in BITS)
    assert set(places.values()) == {1}


def test_names_tell_apart() -> None:
    """Within one part no two channels, and no two bits, have one name."""
    channels = Counter((entry.channel.part, entry.channel.name) for entry in CHANNELS)
    bits = Counter((entry.bit.part, entry.bit.group, entry.bit.name) for entry in BITS)
    assert set(channels.values()) == set(bits.values()) == {1}


def test_severities() -> None:
    """The number of bits of each severity: a slip in a column would change it."""
    assert Counter(entry.bit.severity for entry in BITS) == {
        Severity.FAULT: 59,
        Severity.WARNING: 40,
        Severity.INFO: 18,
        Severity.READY: 6,
    }
