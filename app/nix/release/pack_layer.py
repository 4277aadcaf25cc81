"""pack_layer.py STORE_PATH OUTPUT: one layer of a release."""

import sys
from pathlib import Path

from holdfast_release.pack import pack_tree

tree, output = map(Path, sys.argv[1:])
pack_tree(tree).save(output)
