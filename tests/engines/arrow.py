"""Arrow's types, for the engines that have them."""

import pyarrow as pa

#: What `plainly` says for those of `auditlake schema --format json`: it writes most of them the same way.
TYPES = {
    **{name: name for name in [
        "string", "int64", "list<string>", "map<string, string>",
        "list<struct<property: string, entity_type: string, entity_id: string, "
        "old_values: list<string>, new_values: list<string>>>",
        "list<struct<within_s: int64, records: int64>>",
    ]},
    "list<struct<event_date: date, records: int64>>": "list<struct<event_date: date32[day], records: int64>>",
    "date": "date32[day]",
    "timestamp(us, UTC)": "timestamp[us, tz=UTC]",
}


def plainly(kind):
    """Without the names and the nullability of what is within."""
    if pa.types.is_list(kind):
        return f"list<{plainly(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{plainly(kind.key_type)}, {plainly(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {plainly(field.type)}' for field in kind)}>"
    # a view of a string is a string
    return "string" if pa.types.is_string_view(kind) else str(kind)
