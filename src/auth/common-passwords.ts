// What guessing begins with: words that passwords are made of, whole passwords that are long enough and yet common, and the
// ways along a keyboard. Loaded when somebody chooses a password, not before.

/** Lower case, without look-alikes (0 for o, 3 for e …), four letters or more. */
export const commonWords: readonly string[] = (
  'password passwort motdepasse contrasena wachtwoord senha parola haslo passord losenord parool passwd ' +
  'admin administrator root user guest test tester testing demo default changeme changeit change secret geheim ' +
  'private login logon signin access welcome willkommen bienvenue bienvenido hello hallo letmein trustno master ' +
  'system server service manager operator support office company business enterprise internet network computer ' +
  'database oracle mysql postgres redhat ubuntu debian fedora centos linux windows microsoft apple google amazon ' +
  'github gitlab jenkins docker podman skopeo kubernetes harbor quay registry container berth cloud deploy ' +
  'iloveyou ilove love lovely forever family mother father sister brother princess angel baby honey sweet ' +
  'sunshine flower summer winter spring autumn sommer frühling herbst january february march april june july ' +
  'august september october november december monday tuesday wednesday thursday friday saturday sunday ' +
  'football baseball basketball soccer hockey tennis golf arsenal liverpool chelsea barcelona madrid juventus ' +
  'monkey dragon tiger eagle shadow batman superman spiderman starwars pokemon minecraft freedom whatever ' +
  'killer hunter ranger phoenix thunder matrix merlin ninja cheese chocolate coffee pepper cookie banana orange ' +
  'purple silver golden diamond michael jennifer jessica daniel thomas andrew joshua charlie robert matthew ' +
  'ashley michelle nicole george jordan harley england london berlin paris america canada germany france'
).split(' ');

/** Twelve characters or more and yet in the lists, where no rule finds them. Compared without case. */
export const commonPasswords: ReadonlySet<string> = new Set(
  (
    'unbelievable professional supernatural intelligence transformers cosmopolitan international satisfaction ' +
    'construction entertainment civilization philadelphia sanfrancisco scandinavian massimiliano necronomicon ' +
    'residentevil finalfantasy counterstrike needforspeed justinbieber avrillavigne systemofadown mortalkombat ' +
    'devilmaycry4 greenlantern playstation2 playstation3 nightcrawler thecakeisalie whosyourdaddy iseedeadpeople ' +
    'leavemealone foreveryoung cheeseburger peanutbutter ingodwetrust punksnotdead stratocaster christopher1 ' +
    'andrewjackie sonyericsson morganstanley edwardcullen warhammer40k jamesbond007 lost4815162342 4815162342lost ' +
    'gfhjkmgfhjkm ghjcnjgfhjkm ghbdtnghbdtn qazwsxedcrfv polniypizdec0211 correcthorsebatterystaple ' +
    'correct-horse-battery-staple correcthorse thisismypassword nopasswordneeded opensesame1234 abrakadabra123 ' +
    'motherfucker fucktheworld supercalifragilisticexpialidocious onceuponatime maytheforcebewithyou tobeornottobe ' +
    'thequickbrownfox loremipsumdolor loremipsumdolorsitamet ifyouseekamy donttellanyone'
  ).split(' '),
);

/** Ways along the alphabet and the keyboard; both directions count. */
export const sequences: readonly string[] = [
  'abcdefghijklmnopqrstuvwxyz',
  '01234567890',
  'qwertyuiop',
  'qwertzuiop',
  'azertyuiop',
  'asdfghjkl',
  'qsdfghjklm',
  'zxcvbnm',
  'yxcvbnm',
  'wxcvbn',
  '1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p',
  '1qa2ws3ed4rf5tg6yh7uj8ik9ol0p',
  'qazwsxedcrfvtgbyhnujm',
  'q1w2e3r4t5y6u7i8o9p0',
  '1q2w3e4r5t6y7u8i9o0p',
  'a1s2d3f4g5h6j7k8l9',
  'a1b2c3d4e5f6g7h8i9',
  '1a2b3c4d5e6f7g8h9i',
  '2468013579',
  '147258369',
  '159753',
  '!@#$%^&*()',
];
