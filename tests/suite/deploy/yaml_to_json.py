"""Prints a file's YAML documents as one JSON array; CloudFormation's short tags as the functions they stand for."""

import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    pass


def function(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {tag: value}


Loader.add_multi_constructor("!", function)
with open(sys.argv[1], encoding="utf-8") as file:
    json.dump(list(yaml.load_all(file, Loader)), sys.stdout)
