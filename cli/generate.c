#include "cli/generate.h"

#include <inttypes.h>
#include <stdio.h>

#define MINUTE_MS 60000
#define SERIES_PER_ACCOUNT 40 /* neighbours that share an account: several messages in a record */

/* Namespaces as real streams carry them; several metrics each, interleaved; dimension sets sorted by name. A value id is made of the
 * prefix and a number. */
static const struct family {
	const char *ns;
	struct {
		const char *name, *unit;
	} metrics[12];
	struct {
		const char *name, *prefix;
	} dims[4];
	bool negative; /* has values below zero */
} families[] = {
	{"AWS/EC2", {{"CPUUtilization", "%"}, {"NetworkIn", "By"}, {"NetworkOut", "By"}, {"DiskReadOps", "{Count}"}, {"StatusCheckFailed", "{Count}"},
			    {"CPUCreditBalance", "{Count}"}, {"EBSReadBytes", "By"}, {"MetadataNoToken", "{Count}"}}, {{"InstanceId", "i-0"}}, false},
	{"AWS/EBS", {{"VolumeReadOps", "{Count}"}, {"VolumeWriteOps", "{Count}"}, {"VolumeReadBytes", "By"}, {"VolumeWriteBytes", "By"},
			    {"VolumeIdleTime", "s"}, {"VolumeQueueLength", "{Count}"}, {"BurstBalance", "%"}}, {{"VolumeId", "vol-0"}}, false},
	{"AWS/ELB", {{"HealthyHostCount", "{Count}"}, {"UnHealthyHostCount", "{Count}"}, {"RequestCount", "{Count}"}, {"Latency", "s"},
			    {"HTTPCode_Backend_2XX", "{Count}"}, {"HTTPCode_ELB_5XX", "{Count}"}, {"BackendConnectionErrors", "{Count}"}},
		{{"AvailabilityZone", "eu-central-1"}, {"LoadBalancerName", "lb-"}, {"Namespace", "AWS-"}}, false},
	{"AWS/ApplicationELB", {{"TargetResponseTime", "s"}, {"RequestCount", "{Count}"}, {"HTTPCode_Target_5XX_Count", "{Count}"},
				       {"ActiveConnectionCount", "{Count}"}, {"ProcessedBytes", "By"}, {"ConsumedLCUs", "{Count}"}},
		{{"LoadBalancer", "app/web-"}, {"TargetGroup", "targetgroup/tg-"}}, false},
	{"AWS/RDS", {{"CPUUtilization", "%"}, {"FreeStorageSpace", "By"}, {"ReplicaLag", "s"}, {"TransactionLogsDiskUsage", "By"},
			    {"DatabaseConnections", "{Count}"}, {"ReadLatency", "s"}, {"WriteThroughput", "By/s"}, {"FreeableMemory", "By"}},
		{{"DBInstanceIdentifier", "db-"}}, true},
	{"AWS/Lambda", {{"Duration", "ms"}, {"Invocations", "{Count}"}, {"Errors", "{Count}"}, {"Throttles", "{Count}"}, {"ConcurrentExecutions", "{Count}"}},
		{{"FunctionName", "fn-"}, {"Resource", "fn-"}}, false},
	{"AWS/S3", {{"BucketSizeBytes", "By"}, {"NumberOfObjects", "{Count}"}, {"AllRequests", "{Count}"}, {"FirstByteLatency", "ms"}},
		{{"BucketName", "bucket-"}, {"StorageType", "StandardStorage-"}}, false},
	{"AWS/DynamoDB", {{"ConsumedReadCapacityUnits", "{Count}"}, {"ConsumedWriteCapacityUnits", "{Count}"}, {"SuccessfulRequestLatency", "ms"},
				 {"ThrottledRequests", "{Count}"}, {"ReturnedItemCount", "{Count}"}}, {{"Operation", "GetItem"}, {"TableName", "table-"}}, false},
	{"AWS/SQS", {{"ApproximateNumberOfMessagesVisible", "{Count}"}, {"NumberOfMessagesSent", "{Count}"}, {"ApproximateAgeOfOldestMessage", "s"},
			    {"SentMessageSize", "By"}}, {{"QueueName", "queue-"}}, false},
	{"AWS/SNS", {{"NumberOfMessagesPublished", "{Count}"}, {"NumberOfNotificationsFailed", "{Count}"}, {"PublishSize", "By"}}, {{"TopicName", "topic-"}}, false},
	{"AWS/Kinesis", {{"GetRecords.IteratorAgeMilliseconds", "ms"}, {"IncomingBytes", "By"}, {"IncomingRecords", "{Count}"}, {"PutRecord.Success", "{Count}"},
				{"WriteProvisionedThroughputExceeded", "{Count}"}}, {{"StreamName", "stream-"}}, false},
	{"AWS/Firehose", {{"DeliveryToHttpEndpoint.Success", "{Count}"}, {"DeliveryToHttpEndpoint.DataFreshness", "s"}, {"IncomingBytes", "By"},
				 {"BytesPerSecondLimit", "By/s"}}, {{"DeliveryStreamName", "delivery-"}}, false},
	{"AWS/CloudWatch/MetricStreams", {{"MetricUpdate", "{Count}"}, {"TotalMetricUpdate", "{Count}"}, {"PublishErrorRate", "1"}},
		{{"MetricStreamName", "stream-"}}, false},
	{"AWS/X-Ray", {{"ApproximateTraceCount", "{Count}"}, {"ErrorRate", "%"}, {"FaultRate", "%"}, {"ResponseTime", "s"}}, {{"GroupName", "group-"}}, false},
	{"AWS/NATGateway", {{"BytesInFromDestination", "By"}, {"BytesOutToSource", "By"}, {"ActiveConnectionCount", "{Count}"}, {"PacketsDropCount", "{Count}"},
				   {"ErrorPortAllocation", "{Count}"}}, {{"NatGatewayId", "nat-0"}}, false},
	{"AWS/ElastiCache", {{"CacheHits", "{Count}"}, {"CacheMisses", "{Count}"}, {"CurrConnections", "{Count}"}, {"EngineCPUUtilization", "%"},
				    {"ReplicationLag", "s"}, {"BytesUsedForCache", "By"}}, {{"CacheClusterId", "redis-"}, {"CacheNodeId", "000"}}, false},
	{"AWS/Kafka", {{"CpuIdle", "%"}, {"CpuUser", "%"}, {"MemoryFree", "By"}, {"BytesInPerSec", "By/s"}, {"UnderReplicatedPartitions", "{Count}"}},
		{{"Broker ID", "b-"}, {"Cluster Name", "kafka-"}}, false},
	{"ECS/ContainerInsights", {{"CpuUtilized", "1"}, {"MemoryUtilized", "1"}, {"NetworkRxBytes", "By/s"}, {"RunningTaskCount", "{Count}"},
					  {"StorageReadBytes", "By"}}, {{"ClusterName", "ecs-"}, {"ServiceName", "service-"}}, false},
	{"/aws/sagemaker/TrainingJobs", {{"CPUUtilization", "%"}, {"GPUUtilization", "%"}, {"MemoryUtilization", "%"}, {"DiskUtilization", "%"}},
		{{"Host", "training-job/algo-"}}, false},
	{"CWAgent", {{"LogicalDisk % Free Space", "%"}, {"mem_used_percent", "%"}, {"disk_inodes_free", "1"}, {"swap_used", "By"}},
		{{"InstanceId", "i-0"}, {"path", "/mnt/"}, {"region", "zone-"}}, false},
	{"My App", {{"Request Latency (ms)", "ms"}, {"queue.depth", "{Count}"}, {"Orders/Failed", "{Count}"}}, {{"a-b", "x"}, {"a.b", "y"}}, true},
};
#define FAMILIES (sizeof families / sizeof families[0])

/* SplitMix64: every input bit moves every output bit. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void set_identity(const struct generate *g, size_t series, struct cloudwatch_point *p)
{
	static const char *const accounts[] = {"111122223333", "444455556666", "777788889999"};
	static const char *const regions[] = {"eu-central-1", "us-east-1"};
	const struct family *f = &families[series % FAMILIES];
	size_t n_metrics = 0, resource = series / FAMILIES;
	while (n_metrics < sizeof f->metrics / sizeof f->metrics[0] && f->metrics[n_metrics].name)
		n_metrics++;
	p->series = series;
	p->account = accounts[series / SERIES_PER_ACCOUNT % 3];
	p->region = regions[series / SERIES_PER_ACCOUNT / 3 % 2];
	p->ns = f->ns;
	p->metric = f->metrics[resource % n_metrics].name;
	p->unit = f->metrics[resource % n_metrics].unit;
	p->n_dims = 0;
	/* The first resources of each family are CloudWatch's roll-ups: the same metric without dimensions. */
	for (size_t i = 0; i < 4 && f->dims[i].name && resource >= n_metrics; i++, p->n_dims++) {
		p->dim_names[i] = f->dims[i].name;
		snprintf(p->dim_values[i], sizeof p->dim_values[i], "%s%08" PRIx64, f->dims[i].prefix,
			(uint64_t)(uint32_t)mix(g->seed ^ (resource / n_metrics) << 8 ^ i << 4 ^ 0x5e));
	}
}

void generate_point(const struct generate *g, size_t series, int64_t minute, struct cloudwatch_point *p)
{
	static const double percentiles[] = {0.5, 0.9, 0.95, 0.99, 0.999};
	uint64_t h = mix(mix(g->seed) ^ mix(series + 1) ^ (uint64_t)minute << 20);
	memset(p, 0, sizeof *p);
	set_identity(g, series, p);
	p->start_ms = g->start_ms + minute * MINUTE_MS;
	p->count = h % 10 == 0 ? 0 : h % 7 == 0 ? 60 : 1 + h % 5;
	if (p->count == 0 || h >> 8 & 1) /* many values are zero */
		return;
	bool percent = strcmp(p->unit, "%") == 0;
	double low = (double)(h >> 16 & (percent ? 0x1ff : 0xffff)) / 8, high = low + (double)(h >> 32 & (percent ? 0xff : 0xfff)) / 8;
	if (families[series % FAMILIES].negative && (h >> 44 & 7) == 0)
		low = high = -1;
	p->min = low;
	p->max = p->count == 1 ? low : high;
	p->sum = p->count == 1 ? low : low * (double)(p->count - 1) + high;
	if (low >= 0 && series % 9 == 4)
		for (; p->n_quantiles < sizeof percentiles / sizeof percentiles[0]; p->n_quantiles++) {
			p->quantiles[p->n_quantiles][0] = percentiles[p->n_quantiles];
			p->quantiles[p->n_quantiles][1] = low + (p->max - low) * (double)(p->n_quantiles + 1) / 8;
		}
}

static bool is_late(const struct generate *g, size_t series, int64_t minute)
{
	return minute >= 0 && mix(g->seed ^ mix(series) ^ (uint64_t)minute * 31 ^ 0x1a7e) % 100 < g->late_percent;
}

size_t generate_sent(const struct generate *g, size_t series, int64_t minute, struct cloudwatch_point out[2])
{
	size_t n = 0;
	if (!is_late(g, series, minute))
		generate_point(g, series, minute, &out[n++]);
	if (minute > 0 && is_late(g, series, minute - 1))
		generate_point(g, series, minute - 1, &out[n++]);
	return n;
}

void generate_expected(struct sp_buf *out, const struct cloudwatch_point *p)
{
	sp_buf_str(out, "{\"namespace\":");
	sp_buf_json(out, sp_str(p->ns));
	sp_buf_str(out, ",\"metric\":");
	sp_buf_json(out, sp_str(p->metric));
	sp_buf_str(out, ",\"dims\":[");
	for (size_t i = 0; i < p->n_dims; i++) {
		sp_buf_str(out, i ? ",[" : "[");
		sp_buf_json(out, sp_str(p->dim_names[i]));
		sp_buf_u8(out, ',');
		sp_buf_json(out, sp_str(p->dim_values[i]));
		sp_buf_u8(out, ']');
	}
	sp_buf_printf(out,
		"],\"account\":\"%s\",\"region\":\"%s\",\"unit\":\"%s\",\"start_ms\":%" PRId64 ",\"end_ms\":%" PRId64 ",\"count\":%" PRIu64 ",\"sum\":",
		p->account, p->region, p->unit, p->start_ms, p->start_ms + MINUTE_MS, p->count);
	sp_buf_double(out, p->sum);
	sp_buf_str(out, ",\"min\":");
	sp_buf_double(out, p->min);
	sp_buf_str(out, ",\"max\":");
	sp_buf_double(out, p->max);
	sp_buf_str(out, ",\"quantiles\":[");
	for (size_t i = 0; i < p->n_quantiles; i++) {
		sp_buf_str(out, i ? ",[" : "[");
		sp_buf_double(out, p->quantiles[i][0]);
		sp_buf_u8(out, ',');
		sp_buf_double(out, p->quantiles[i][1]);
		sp_buf_u8(out, ']');
	}
	sp_buf_str(out, "]}\n");
}
