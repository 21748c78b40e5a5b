#include "common/hll.h"

#include <math.h>

#define RANK_MAX (64 - SP_HLL_BITS + 1)

void sp_hll_merge(struct sp_hll *h, const uint8_t registers[SP_HLL_BYTES])
{
	for (size_t i = 0; i < SP_HLL_BYTES; i++) {
		uint8_t rank = registers[i] < RANK_MAX ? registers[i] : RANK_MAX;
		h->registers[i] = rank > h->registers[i] ? rank : h->registers[i];
	}
}

/* x + the sum of x^(2^k) * 2^(k-1): what registers that saw nothing contribute. x < 1. */
static double sigma(double x)
{
	double sum = x, weight = 1, before;
	do {
		x *= x;
		before = sum;
		sum += x * weight;
		weight += weight;
	} while (sum != before);
	return sum;
}

/* (1 - x - the sum of (1 - x^(2^-k))^2 * 2^-k) / 3: what full registers contribute. */
static double tau(double x)
{
	double sum = 1 - x, weight = 1, before;
	if (x <= 0 || x >= 1)
		return 0;
	do {
		x = sqrt(x);
		before = sum;
		weight *= 0.5;
		sum -= (1 - x) * (1 - x) * weight;
	} while (sum != before);
	return sum / 3;
}

double sp_hll_estimate(const struct sp_hll *h)
{
	unsigned count[RANK_MAX + 1] = {0};
	const double m = SP_HLL_BYTES;
	for (size_t i = 0; i < SP_HLL_BYTES; i++)
		count[h->registers[i]]++;
	if (count[0] == SP_HLL_BYTES)
		return 0;
	double z = m * tau(1 - count[RANK_MAX] / m);
	for (int rank = RANK_MAX - 1; rank >= 1; rank--)
		z = (z + count[rank]) / 2;
	z += m * sigma(count[0] / m);
	return m * m / (2 * M_LN2 * z);
}
