// Verifies every signature of DIRECTORY/*.eml with mailauth, public keys from DIRECTORY/zone.json.
// Prints a line for each mail: its name and the result of each signature.
import { createRequire } from 'node:module';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [, , tools, directory] = process.argv;
const { dkimVerify } = createRequire(join(tools, 'package.json'))('mailauth/lib/dkim/verify');
const zone = JSON.parse(readFileSync(join(directory, 'zone.json'), 'utf8'));
const resolver = async (name, kind) => {
    if (kind !== 'TXT' || !(name in zone)) {
        throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
    }
    return [[zone[name]]];
};

for (const name of readdirSync(directory).filter(name => name.endsWith('.eml')).sort()) {
    const mail = readFileSync(join(directory, name));
    const { results } = await dkimVerify(mail, { resolver, minBitLength: 2048 });
    console.log([name, ...results.map(one => one.status.result)].join(' '));
}
