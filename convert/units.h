/* units - CloudWatch's StandardUnit ("Bytes/Second") in the spelling of its OTLP formats ("By/s"). Any thread. */
#ifndef CONVERT_UNITS_H
#define CONVERT_UNITS_H

#include "common/bytes.h"

/* Unknown units stay as they are. Letters may be of any case. The result is static or the argument itself. */
struct sp_bytes units_otlp(struct sp_bytes standard);

#endif
