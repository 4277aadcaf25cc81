"""Tasks by Mitogen: one Python a host for the whole run, where Ansible's own strategies begin a new one for each task.

Ansible finds strategies by their folder, and that of the installed package depends on the Python it was installed for.
"""

import ansible_mitogen.loaders
import ansible_mitogen.strategy
from ansible.executor.play_iterator import PlayIterator
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import filter_loader, test_loader

linear = ansible_mitogen.loaders.strategy_loader.get("linear", class_only=True)


class Prepared(linear):
    """Loads before the first task what the process of each task would load again: a fifth of its time."""

    def run(self, iterator: PlayIterator, play_context: PlayContext) -> int:
        """Go through a play."""
        for loader in (filter_loader, test_loader):
            list(loader.all())
        return super().run(iterator, play_context)


class StrategyModule(ansible_mitogen.strategy.StrategyMixin, Prepared):
    """Goes through the tasks as `linear` does."""
