/* One process with SLEEPING sleeping and SPINNING spinning threads; the last spinning one is named NAME.
 * usage: threads SLEEPING SPINNING NAME        prints "ready" once all threads are there
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *asleep(void *name)
{
	prctl(PR_SET_NAME, name);
	for (;;)
		pause();
	return NULL;
}

static void *spin(void *name)
{
	prctl(PR_SET_NAME, name);
	for (volatile unsigned long x = 0;; x++)
		;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 4)
		return 2;
	for (int i = atoi(argv[1]); i > 0; i--)
		if (pthread_create(&thread, NULL, asleep, "waiting"))
			return 1;
	for (int i = atoi(argv[2]); i > 0; i--)
		if (pthread_create(&thread, NULL, spin, i == 1 ? argv[3] : "worker"))
			return 1;
	puts("ready");
	fflush(stdout);
	pause();
}
