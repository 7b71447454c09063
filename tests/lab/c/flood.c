/* Small UDP packets to ADDRESS, as fast as they go.
 * usage: flood ADDRESS PORT
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	char data[18] = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc != 3 || fd < 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons((unsigned short)atoi(argv[2]));
	for (;;)
		sendto(fd, data, sizeof data, 0, (struct sockaddr *)&to, sizeof to);
}
