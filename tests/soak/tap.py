# SPDX-License-Identifier: MIT
"""What a long run found, as TAP."""


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def check(self, condition, name, detail=""):
        self.count += 1
        self.failed += 0 if condition else 1
        print(f"{'ok' if condition else 'not ok'} {self.count} - {name}" + (f" # {detail}" if detail else ""), flush=True)

    def done(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0
