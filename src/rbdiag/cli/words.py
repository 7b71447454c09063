"""What completion offers. Made by `python -m rbdiag.cli.words` out of the commands; do not edit."""

# fmt: off
# ruff: noqa: E501
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
            (('--output', '-o'), 'The format of the report', 'yes', 'output', False),
            (('--json',), 'Short for -o json', 'no', '', False),
            (('--fail-on',), 'The lowest level that counts in the exit status', 'yes', 'fail_on', False),
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
            (('--output', '-o'), 'The format of the report', 'yes', 'output', False),
            (('--json',), 'Short for -o json', 'no', '', False),
            (('--fail-on',), 'The lowest level that counts in the exit status', 'yes', 'fail_on', False),
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
        ('cpu.process-hog', 'one process burns CPU in its own code'),
        ('cpu.runaway-thread', 'one thread of a multi-threaded process spins'),
        ('cpu.system-time', 'CPU time goes to the kernel'),
        ('cpu.db-query', 'the database server burns CPU'),
        ('cpu.gc-thrash', 'garbage collection eats the CPU'),
        ('cpu.many-processes', 'many processes of one service fill the CPUs together'),
        ('cpu.job-overlap', 'runs of one job overlap'),
        ('cpu.fork-storm', 'short-lived processes eat the CPU'),
        ('cpu.single-core-bound', 'processes are pinned to CPUs that are full while others idle'),
        ('cpu.finite-work', 'a build, a packer or a backup uses the CPUs'),
        ('cpu.background-batch', 'low-priority work uses idle CPUs'),
        ('cpu.traffic-surge', 'far more requests than before'),
        ('cpu.capacity', 'demand from many services exceeds the CPUs'),
        ('cpu.unseen-load', 'the CPUs are busy with processes that cannot be seen from here'),
        ('cpu.cgroup-throttled', 'a CPU quota throttles a service'),
        ('cpu.iowait', 'tasks wait for a disk'),
        ('cpu.dstate-load', 'the load is blocked tasks, not CPU'),
        ('cpu.swap-thrash', 'reclaim and swap eat the CPU'),
        ('cpu.steal', 'the hypervisor takes CPU time away'),
        ('cpu.softirq', 'interrupts saturate a CPU'),
        ('cpu.frequency-limited', 'the CPUs run slower than they can'),
        ('host.memory-pressure', 'little memory is available'),
        ('host.disk-io', 'a disk is saturated'),
        ('host.hung-tasks', 'tasks are stuck in the kernel'),
        ('host.zombie-flood', 'a process does not reap its children'),
        ('svc.crash-loop', 'a service starts and dies again and again'),
    ),
    'checks of cpu': (
        ('cpu.time', ''),
        ('cpu.processes', ''),
        ('cpu.confirm', ''),
        ('cpu.throttling', ''),
        ('cpu.frequency', ''),
        ('host.pressure', ''),
        ('host.memory', ''),
        ('host.disks', ''),
        ('host.tasks', ''),
        ('host.kernel-log', ''),
        ('svc.units', ''),
        ('cpu.requests', ''),
        ('cpu.profilers', ''),
        ('cpu.profile', ''),
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
