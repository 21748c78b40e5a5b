/* known - some metrics that CloudWatch is known to send: what the generator makes, and what a table of names shows without a
 * captured body.
 */
#ifndef PROTO_KNOWN_H
#define PROTO_KNOWN_H

#include <stdbool.h>

#define KNOWN_FAMILIES 21

struct known_family {
	const char *ns;
	struct {
		const char *name, *unit; /* OTLP spelling */
	} metrics[12];
	struct {
		/* In a value # stands for the 16 digits of an AWS id, * for a name that people give, and of words parted by | a
		 * resource has one. */
		const char *name, *value;
	} dims[4]; /* sorted by name */
	bool negative; /* has values below zero */
};

extern const struct known_family known_families[KNOWN_FAMILIES];

#endif
