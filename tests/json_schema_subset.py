"""The keywords of JSON Schema that our schema uses, checked as the draft says; any other keyword is an error, so that none is skipped."""

from __future__ import annotations

TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
ANNOTATIONS = {"$schema", "$id", "title", "description", "$defs"}


def valid(value, rules, root):
    """Say whether a value keeps the rules; `root` has the definitions."""
    unknown = set(rules) - ANNOTATIONS - set(KEYWORDS)
    assert not unknown, f"this validator does not know {unknown}"
    return all(KEYWORDS[key](value, rule, rules, root) for key, rule in rules.items() if key in KEYWORDS)


def _type(value, rule, _rules, _root):
    return any(TYPES[one](value) for one in ([rule] if isinstance(rule, str) else rule))


def _properties(value, rule, _rules, root):
    return not isinstance(value, dict) or all(valid(value[name], inner, root) for name, inner in rule.items() if name in value)


def _additional(value, rule, rules, root):
    named = rules.get("properties", {})
    return not isinstance(value, dict) or all(valid(inner, rule, root) for name, inner in value.items() if name not in named)


def _ref(value, rule, _rules, root):
    head, _, name = rule.partition("#/$defs/")
    assert not head
    return valid(value, root["$defs"][name], root)


KEYWORDS = {
    "type": _type,
    "required": lambda value, rule, *_: not isinstance(value, dict) or set(rule) <= set(value),
    "properties": _properties,
    "additionalProperties": _additional,
    "items": lambda value, rule, _rules, root: not isinstance(value, list) or all(valid(one, rule, root) for one in value),
    "enum": lambda value, rule, *_: value in rule,
    "const": lambda value, rule, *_: value == rule,
    "anyOf": lambda value, rule, _rules, root: any(valid(value, one, root) for one in rule),
    "$ref": _ref,
}
