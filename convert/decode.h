/* decode - the tool `standpipe decode [--json] [--series] [--naming PRESET] [--config FILE] [--destination NAME] [--key NAME]
 * [--record] FILE`: what is in a captured delivery, point by point.
 *
 * FILE is a Firehose body (JSON, plain or gzip), with --record one record out of its base64; "-" is standard input.
 * Prints points (with --series the samples they become under the preset `cloudwatch`), then what would be quarantined; a
 * summary goes to standard error. With --naming, or with --config, --destination or --key, each point is followed by the
 * series it becomes there, or by the rule that drops it.
 */
#ifndef CONVERT_DECODE_H
#define CONVERT_DECODE_H

int decode_main(int argc, char **argv);
/* names - the tool `standpipe names --from PRESET --to PRESET [--sed] [--record] FILE`: what a change of naming renames of the
 * metrics in a captured delivery. */
int names_main(int argc, char **argv);

#endif
