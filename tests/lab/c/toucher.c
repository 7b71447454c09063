/* Memory in use: MIB mebibytes, touched once; then again and again in random order, or left alone.
 * usage: toucher MIB once|forever        prints "ready" once all of it was touched
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t pages, page = 4096;
	char *memory;

	if (argc != 3)
		return 2;
	pages = (size_t)atoi(argv[1]) * 256;
	memory = malloc(pages * page);
	if (!memory)
		return 1;
	for (size_t i = 0; i < pages; i++)
		memory[i * page] = (char)random();
	puts("ready");
	fflush(stdout);
	while (strcmp(argv[2], "forever") == 0)
		memory[(size_t)random() % pages * page]++;
	for (;;)
		pause();
}
