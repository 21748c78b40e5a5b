#include "convert/units.h"

struct sp_bytes units_otlp(struct sp_bytes standard)
{
	/* The capitals are AWS' own. */
	static const char *const names[][2] = {
		{"Count", "{Count}"}, {"Bytes", "By"}, {"Percent", "%"}, {"Seconds", "s"}, {"None", "1"}, {"Milliseconds", "ms"},
		{"Microseconds", "us"}, {"Count/Second", "{Count}/s"}, {"Bytes/Second", "By/s"},
		{"Kilobytes", "kBy"}, {"Megabytes", "MBy"}, {"Gigabytes", "GBy"}, {"Terabytes", "TBy"},
		{"Bits", "bit"}, {"Kilobits", "kbit"}, {"Megabits", "MBit"}, {"Gigabits", "GBit"}, {"Terabits", "Tbit"},
		{"Kilobytes/Second", "kBy/s"}, {"Megabytes/Second", "MBy/s"}, {"Gigabytes/Second", "GBy/s"}, {"Terabytes/Second", "TBy/s"},
		{"Bits/Second", "bit/s"}, {"Kilobits/Second", "kbit/s"}, {"Megabits/Second", "MBit/s"}, {"Gigabits/Second", "GBit/s"},
		{"Terabits/Second", "Tbit/s"},
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (sp_eq_nocase(standard, sp_str(names[i][0])))
			return sp_str(names[i][1]);
	}
	return standard;
}
