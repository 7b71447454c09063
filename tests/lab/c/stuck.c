/* Tasks in uninterruptible sleep without any device: the parent of a vfork() child cannot run until the child ends.
 * usage: stuck N        prints "ready" once there are N such children
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	for (int i = atoi(argv[1]); i > 0; i--) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0) {
			if (vfork() == 0)
				for (;;)
					pause();
			_exit(0);
		}
	}
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
