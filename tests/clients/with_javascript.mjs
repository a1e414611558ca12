// The AWS SDK for JavaScript with its managed upload; `adapter.py` tells the conversation and the verbs.

import * as s3 from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { createReadStream, createWriteStream, readFileSync, renameSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pipeline } from "node:stream/promises";

const version = createRequire(import.meta.url)("@aws-sdk/client-s3/package.json").version;
const client = new s3.S3Client({
  endpoint: process.env.CLIENT_ENDPOINT,
  region: process.env.AWS_REGION,
  forcePathStyle: true,
  maxAttempts: 1,
});
const PART = 5 * 1024 * 1024;

const send = (command, words) => client.send(new s3[command](words));

const upload = (bucket, key, file, more) =>
  new Upload({
    client,
    params: { Bucket: bucket, Key: key, Body: createReadStream(file), ...more },
    partSize: PART,
    queueSize: 4,
  }).done();

// True when it was written; false when the condition did not hold.
const putIf = async (bucket, key, file, condition) => {
  try {
    await send("PutObjectCommand", { Bucket: bucket, Key: key, Body: readFileSync(file), ...condition });
    return true;
  } catch (error) {
    if (error.name === "PreconditionFailed") return false;
    throw error;
  }
};

const download = async (words, file) => {
  const answer = await send("GetObjectCommand", words);
  await pipeline(answer.Body, createWriteStream(`${file}.part`));
  renameSync(`${file}.part`, file);
};

const verbs = {
  make_bucket: ({ bucket }) => send("CreateBucketCommand", { Bucket: bucket }),
  buckets: async () => (await send("ListBucketsCommand", {})).Buckets.map((bucket) => bucket.Name),
  remove_bucket: ({ bucket }) => send("DeleteBucketCommand", { Bucket: bucket }),
  put: ({ bucket, key, file }) => send("PutObjectCommand", { Bucket: bucket, Key: key, Body: readFileSync(file) }),
  upload: ({ bucket, key, file }) => upload(bucket, key, file),
  stream: ({ bucket, key, file }) => upload(bucket, key, file),
  get: ({ bucket, key, file }) => download({ Bucket: bucket, Key: key }, file),
  range: ({ bucket, key, first, last, file }) =>
    download({ Bucket: bucket, Key: key, Range: `bytes=${first}-${last}` }, file),
  list: async ({ bucket, prefix }) => {
    const entries = [];
    for await (const page of s3.paginateListObjectsV2({ client, pageSize: 7 }, { Bucket: bucket, Prefix: prefix }))
      for (const entry of page.Contents ?? []) entries.push([entry.Key, entry.Size]);
    return entries;
  },
  delete: ({ bucket, key }) => send("DeleteObjectCommand", { Bucket: bucket, Key: key }),
  delete_many: async ({ bucket, keys }) => {
    const objects = keys.map((key) => ({ Key: key }));
    const answer = await send("DeleteObjectsCommand", { Bucket: bucket, Delete: { Objects: objects } });
    if (answer.Errors?.length) throw new Error(JSON.stringify(answer.Errors));
  },
  copy: ({ bucket, key, new: target }) =>
    send("CopyObjectCommand", { Bucket: bucket, Key: target, CopySource: encodeURIComponent(`${bucket}/${key}`) }),
  put_metadata: ({ bucket, key, file, metadata }) => upload(bucket, key, file, { Metadata: metadata }),
  metadata: async ({ bucket, key }) => (await send("HeadObjectCommand", { Bucket: bucket, Key: key })).Metadata,
  checksum: ({ bucket, key, file, algorithm }) => upload(bucket, key, file, { ChecksumAlgorithm: algorithm }),
  wrong_checksum: ({ bucket, key, file }) =>
    send("PutObjectCommand", { Bucket: bucket, Key: key, Body: readFileSync(file), ChecksumCRC32: "AAAAAA==" }),
  put_if_absent: ({ bucket, key, file }) => putIf(bucket, key, file, { IfNoneMatch: "*" }),
  put_if_match: ({ bucket, key, file, tag }) => putIf(bucket, key, file, { IfMatch: tag }),
  set_tags: ({ bucket, key, tags }) => {
    const pairs = Object.entries(tags).map(([name, value]) => ({ Key: name, Value: value }));
    return send("PutObjectTaggingCommand", { Bucket: bucket, Key: key, Tagging: { TagSet: pairs } });
  },
  tags: async ({ bucket, key }) => {
    const answer = await send("GetObjectTaggingCommand", { Bucket: bucket, Key: key });
    return Object.fromEntries(answer.TagSet.map((tag) => [tag.Key, tag.Value]));
  },
  presign: ({ bucket, key }) => getSignedUrl(client, new s3.GetObjectCommand({ Bucket: bucket, Key: key })),
};

// What a command answers is of no interest to the scenario, and not all of it is JSON.
const SILENT = new Set(["make_bucket", "remove_bucket", "put", "upload", "stream", "delete", "copy", "put_metadata"]);
for (const verb of ["checksum", "wrong_checksum", "set_tags", "get", "range"]) SILENT.add(verb);

const say = (words) => process.stdout.write(`${JSON.stringify(words)}\n`);
const algorithms = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];
say({ version, verbs: Object.keys(verbs), algorithms });
for await (const line of createInterface({ input: process.stdin })) {
  const { verb, ...words } = JSON.parse(line);
  try {
    const answer = await verbs[verb](words);
    say({ ok: SILENT.has(verb) ? null : (answer ?? null) });
  } catch (error) {
    say({ error: `${error.name}: ${error.message}` });
  }
}
