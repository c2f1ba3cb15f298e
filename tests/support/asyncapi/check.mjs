// Read an AsyncAPI document with the official parser, and print all that it remarks. Exits with 1 if there is anything.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { code, message, path } of diagnostics) {
  console.log(`${path.join(".")}: ${message} (${code})`);
}
if (document) {
  const [channels, messages] = [document.channels().all().length, document.allMessages().all().length];
  console.log(`AsyncAPI ${document.version()}: ${channels} channels, ${messages} messages`);
}
process.exit(document && diagnostics.length === 0 ? 0 : 1);
