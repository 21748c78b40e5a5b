/* cwjson - a record of CloudWatch metric streams' JSON format: objects one after the other, usually one a line.
 *
 * A value that cannot be read is set aside from its start to the end of its line and reading goes on there.
 */
#ifndef CONVERT_CWJSON_H
#define CONVERT_CWJSON_H

#include "convert/decoder.h"

SP_CHECKED enum sp_status cwjson_decode(struct decoder *d, struct sp_bytes record);

#endif
