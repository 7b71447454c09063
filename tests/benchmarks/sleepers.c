/* Hold N sleeping child processes until standard input ends.
 *
 * usage: sleepers N      prints "ready" once all of them sleep
 *
 * The children end with their parent whatever happens to it, and are reaped, so that none is left to the host.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void sleep_for_good(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "sleeper");
	close(0);
	close(1);
	if (getppid() != parent) /* it has gone before we could ask to be told */
		_exit(0);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
	pid_t self = getpid(), *children = calloc(count + 1, sizeof *children);
	long born = 0;
	char byte;

	if (count < 1 || !children) {
		fputs("usage: sleepers N\n", stderr);
		return 64;
	}
	for (; born < count; born++) {
		children[born] = fork();
		if (children[born] == 0)
			sleep_for_good(self);
		if (children[born] < 0) {
			perror("fork");
			break;
		}
	}
	if (born == count) {
		puts("ready");
		fflush(stdout);
		while (read(0, &byte, 1) > 0)
			;
	}
	for (long i = 0; i < born; i++)
		kill(children[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	return born == count ? 0 : 1;
}
