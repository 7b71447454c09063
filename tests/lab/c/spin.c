/* An endless loop in user mode. */
int main(void)
{
	for (volatile unsigned long x = 0;; x++)
		;
}
