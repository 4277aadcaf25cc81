"""Folders, text files and links of a host: as many as there are, in one visit of the host."""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: holdfast_files
short_description: Folders, text files and links as they should be
description:
  - What C(copy), C(template) and C(file) do one at a time, the first two in two visits of the host.
  - Folders and files get the same owner, group and mode; a folder that a file or link lacks is made for all to read.
options:
  folders:
    description: Paths of folders.
    type: list
    elements: str
    default: []
  contents:
    description: Text of each file by its path.
    type: dict
    default: {}
  links:
    description: Target of each link by its path.
    type: dict
    default: {}
  validate:
    description: Command that each new text has to pass before it takes the place of the old; C(%s) stands for its file.
    type: str
    default: ""
extends_documentation_fragment: ansible.builtin.files
"""
FOLDER_MODE = 0o755


def bring(module: AnsibleModule, file: Path, content: str) -> dict[str, Any] | None:
    """Bring one file to its content, owner and mode; return the difference, None if there is none."""
    before = file.read_text() if file.exists() else None
    if before != content and not module.check_mode:
        file.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.part")
        part.touch(mode=0o600)
        part.write_text(content)
        validate(module, part, file)
        module.atomic_move(str(part), str(file))
    wanted = module.load_file_common_arguments(module.params, path=str(file))
    is_other = file.exists() and module.set_fs_attributes_if_different(wanted, changed=False)
    if before == content and not is_other:
        return None
    return {"before": before or "", "after": content, "before_header": str(file), "after_header": str(file)}


def keep(module: AnsibleModule, folder: Path) -> dict[str, Any] | None:
    """Bring one folder to its owner and mode; return the difference, None if there is none."""
    is_new = not folder.is_dir()
    if is_new and not module.check_mode:
        folder.mkdir(mode=FOLDER_MODE, parents=True)
    wanted = module.load_file_common_arguments(module.params, path=str(folder))
    is_other = folder.is_dir() and module.set_fs_attributes_if_different(wanted, changed=False)
    if not is_new and not is_other:
        return None
    return {"before": "", "after": "", "before_header": str(folder), "after_header": str(folder)}


def validate(module: AnsibleModule, part: Path, file: Path) -> None:
    """End with the validator's words when it refuses a text."""
    if not module.params["validate"]:
        return
    code, out, err = module.run_command(module.params["validate"].replace("%s", str(part)))
    if code != 0:
        part.unlink()
        module.fail_json(msg=f"{file}: {module.params['validate']}: exit code {code}: {out}{err}")


def lead(module: AnsibleModule, link: Path, target: str) -> dict[str, Any] | None:
    """Let one link lead to its target; return the difference, None if there is none."""
    before = str(link.readlink()) if link.is_symlink() else ""
    if before == target:
        return None
    if not module.check_mode:
        link.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        part = link.with_name(f".{link.name}.part")
        part.unlink(missing_ok=True)
        part.symlink_to(target)
        part.replace(link)
    return {"before": f"{before}\n", "after": f"{target}\n", "before_header": str(link), "after_header": str(link)}


def main() -> None:
    """Write what differs."""
    module = AnsibleModule(
        argument_spec={
            "folders": {"type": "list", "elements": "str", "default": []},
            "contents": {"type": "dict", "default": {}},
            "links": {"type": "dict", "default": {}},
            "validate": {"type": "str", "default": ""},
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    found = [keep(module, Path(path)) for path in module.params["folders"]]
    found += [bring(module, Path(path), content) for path, content in module.params["contents"].items()]
    found += [lead(module, Path(path), target) for path, target in module.params["links"].items()]
    differences = [difference for difference in found if difference is not None]
    paths = [difference["after_header"] for difference in differences]
    module.exit_json(changed=bool(differences), diff=differences, paths=paths)


if __name__ == "__main__":
    main()
