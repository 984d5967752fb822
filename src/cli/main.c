/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph VERB [OPTION]… : finds the verb. */
int main(void)
{
	return 0;
}
