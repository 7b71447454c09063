"""What completion offers. Made by `python -m rbdiag.cli.words` out of the commands; do not edit."""

# fmt: off
from __future__ import annotations

# Its names; what it does; whether it takes a value: no, maybe, yes; what is offered for it; whether it repeats.
Option = tuple[tuple[str, ...], str, str, str, bool]

COMMANDS: dict[str, tuple[tuple[Option, ...], tuple[str, ...]]] = {
    '': (
        (
            (('--settings',), 'The settings file', 'yes', 'files', False),
            (('--version',), 'Show the version', 'no', '', False),
            (('--help',), 'Show this help', 'no', '', False),
        ),
        ('commands',),
    ),
    'cpu': (
        (
            (('--top',), 'How many processes to show', 'yes', '', False),
            (('--interval',), 'Time between the two samples', 'yes', '', False),
            (('--pid',), 'Look at this process above all', 'yes', '', False),
            (('--profile',), 'Profile the process at fault, for 5 seconds unless said otherwise', 'maybe', '', False),
            (('--flame-graph',), 'Write a flame graph of the profile there; implies --profile', 'yes', 'files', False),
            (('--warning',), 'From here on the CPUs count as busy', 'yes', '', False),
            (('--critical',), 'From here on they count as saturated', 'yes', '', False),
            (('--deadline', '-t'), 'End by then, whatever hangs', 'yes', '', False),
            (('--since',), 'How far back to read logs: 90s, 15m, 2h, 3d, or an RFC 3339 time', 'yes', '', False),
            (('--service', '-s'), 'The service unit at fault, or a target of the settings file', 'yes', 'targets', False),
            (('--only',), 'Run this check alone, with those it builds on; repeatable', 'yes', 'checks of cpu', True),
            (('--skip',), 'Run all but this check; repeatable', 'yes', 'checks of cpu', True),
            (('--output', '-o'), 'How to write the report: table, json, jsonl, markdown, nagios', 'yes', 'output', False),
            (('--json',), 'Short for -o json', 'no', '', False),
            (('--fail-on',), 'The lowest level that makes the exit status 1 or 2: warning, critical, never', 'yes', 'fail_on', False),
            (('--save',), 'Also write the JSON report there', 'yes', 'files', False),
            (('--verbose', '-v'), 'Show more: facts, every check, what the run cost', 'no', '', False),
            (('--quiet', '-q'), 'Show nothing at all while the status is ok', 'no', '', False),
            (('--no-color',), 'No colour, as with NO_COLOR set or TERM=dumb', 'no', '', False),
            (('--help',), 'Show this help', 'no', '', False),
        ),
        (),
    ),
    'explain': (
        (
            (('--help',), 'Show this help', 'no', '', False),
        ),
        ('codes',),
    ),
    'diagnose': (
        (
            (('--output', '-o'), 'How to write the report: table, json, jsonl, markdown, nagios', 'yes', 'output', False),
            (('--json',), 'Short for -o json', 'no', '', False),
            (('--fail-on',), 'The lowest level that makes the exit status 1 or 2: warning, critical, never', 'yes', 'fail_on', False),
            (('--save',), 'Also write the JSON report there', 'yes', 'files', False),
            (('--verbose', '-v'), 'Show more: facts, every check, what the run cost', 'no', '', False),
            (('--quiet', '-q'), 'Show nothing at all while the status is ok', 'no', '', False),
            (('--no-color',), 'No colour, as with NO_COLOR set or TERM=dumb', 'no', '', False),
            (('--help',), 'Show this help', 'no', '', False),
        ),
        ('files',),
    ),
    'schema': (
        (
            (('--help',), 'Show this help', 'no', '', False),
        ),
        (),
    ),
    'completion': (
        (
            (('--help',), 'Show this help', 'no', '', False),
        ),
        ('shell',),
    ),
}

CHOICES: dict[str, tuple[tuple[str, str], ...]] = {
    'commands': (
        ('cpu', 'High CPU usage: what burns it, why, and what to do.'),
        ('explain', 'What a finding means, how it is told, what to do.'),
        ('diagnose', 'Run the rules again over a saved JSON report.'),
        ('schema', 'Print the JSON schema of the report.'),
        ('completion', 'Print the completion script of a shell.'),
    ),
    'codes': (
        ('cpu.process-hog', 'One process burns the CPU'),
    ),
    'checks of cpu': (
        ('cpu.time', 'check'),
        ('cpu.processes', 'check'),
        ('cpu.confirm', 'check'),
        ('cpu.throttling', 'check'),
        ('cpu.frequency', 'check'),
        ('host.pressure', 'check'),
        ('host.memory', 'check'),
        ('host.disks', 'check'),
        ('host.tasks', 'check'),
        ('host.kernel-log', 'check'),
        ('svc.units', 'check'),
        ('cpu.requests', 'check'),
        ('cpu.profilers', 'check'),
        ('cpu.profile', 'check'),
    ),
    'output': (
        ('table', ''),
        ('json', ''),
        ('jsonl', ''),
        ('markdown', ''),
        ('nagios', ''),
    ),
    'fail_on': (
        ('warning', ''),
        ('critical', ''),
        ('never', ''),
    ),
    'shell': (
        ('bash', ''),
        ('zsh', ''),
        ('fish', ''),
    ),
}

if __name__ == "__main__":
    from rbdiag.cli.generate import write

    write()
