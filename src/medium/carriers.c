/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The carriers, in the order in which they are asked. */
#include "medium/medium.h"

#include "base/bytes.h"
#include "medium/tap.h"

static const struct carrier_driver *const carriers[] = {
	&carrier_driver_pipe,
	&carrier_driver_http,
	&carrier_driver_device,
	&carrier_driver_file,
};

int carrier_open(const char *ref, const struct ism_open_options *options, struct medium **ret,
                 struct ism_error *err)
{
	static const struct ism_open_options none;

	if (!options)
		options = &none;
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++) {
		int r;

		if (!carriers[i]->claims(ref))
			continue;
		r = carriers[i]->open(ref, options, ret, err);
		if (r == 0 && options->tap && (*ret)->forward) {
			r = tap_attach(options->tap, ret, err);
			if (r < 0)
				*ret = medium_close(*ret);
		}
		return r;
	}
	return ism_error_usage(err, ref, "is nothing that can be read");
}
