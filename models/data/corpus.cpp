// The rules of the embedded corpus: short documents in a little English of our own.
//
//   Feature = value value ...       a feature and its values; a feature's name among them stands for all of its values
//   name(arguments): text | text    a rule: each argument is a value, or a feature, which binds it for this rule
//   {name(arguments)}               derives that rule;   {Feature} or {A+B} prints a bound value or a sum
//   [3] text                        weighs 3 (1 when nothing is said); a feature that is not bound takes each value
//                                   with the same weight
// No alternative may begin with the whole of another (Grammar::ambiguity proves it): a word's end is told by what
// follows it, so what may be left out is written as two alternatives.
#include "models/data/grammar.h"

namespace fovea::data {

const char* const kCorpusRules = R"(
M = Tom Ben Max Sam Leo Paul Hugo Finn
F = Ann Lucy Rose Mia Jane Nora Ida Kate
X = M F
Y = X
N = s p
D = 0 1 2 3 4 5 6 7 8 9
A = 2 3 4 5 6
B = 2 3 4 5 6
K = nut egg pear plum cake coin book cup
V = run sit eat nap hop sing wait play rest hide dig swim talk work read jump
T = see like hear find love hate need know want meet feed help draw own buy sell

document: [4] {story(X)} | [3] {talk(M,F)} | [3] {talk(F,M)} | [5] {scene(N)}
  | [2] {couple(M,F)} | [2] {couple(F,M)} | [2] {count(K)}

# One person: the name comes back at the end, the pronouns agree with it.
story(X): {X} is {two_digits}, has {objects} and {acts(s)} {objects}. {ending(X)}
ending(X): At {clock} {he(X)} and {his(X)} {friend} {does(p)} {place} with {objects}.
  | On {day} {he(X)} {acts(s)} {objects}. {X} {does(s)} {place} until {clock}.
  | Now {X} {does(s)} {place} and {acts(s)} {his(X)} {adjective} {noun(N)}, but {he(X)} {acts(s)} {objects}.

# A question of one, answered by the other.
talk(X,Y): {where(X,Y,N)} {reply(X,Y)} | {what(X,Y)} {reply(X,Y)} | {when(X,Y)} {reply(X,Y)} | {how_many(X,Y)}
where(X,Y,N): "Where {is(N)} the {adjective} {noun(N)}, {Y}?" asks {X}.
  "{They(N)} {is(N)} {place} with {objects}," says {Y}.
what(X,Y): "What do you {act}, {Y}?" asks {X}. "I {acts(p)} {objects}," says {Y}.
when(X,Y): "When do you {do}, {Y}?" asks {X}.
  "I {does(p)} at {clock} and {does(p)} {place} with {objects}," says {Y}.
how_many(X,Y): "How many {goods} do you have, {Y}?" asks {X}. "{A} here and {B} {place}," says {Y}.
  "So you have {A+B}," says {X}, "and I have {objects}."
reply(X,Y): "Thank you, {Y}," says {X}. | "I {acts(p)} {objects}," says {X}. | "Then I {does(p)} {place} at {clock}."

# The verb agrees with its subject across a place, and the pronoun with both.
scene(N): The {adjective} {noun(N)} {place} {does(N)} {time}.
  {They(N)} {acts(N)} {objects} and {does(N)} {place} with {objects}.
couple(X,Y): {X} and {Y} {does(p)} {place} {time}. They {acts(p)} {objects}.
  But {X} {acts(s)} {his(X)} {noun(N)} and {Y} {acts(s)} {his(Y)} {adjective} {noun(N)}, {objects}.

# Written numbers that add up.
count(K): {man} has {A} {K}s and {woman} has {B} {K}s. Together they have {A+B} {K}s, {objects}. They {does(p)} {time}.
  | {man} had {A+B} {K}s. He gave {A} {K}s to {woman}, and now he has {B} {K}s, {objects}. They {does(p)} {place}.
man: {M}
woman: {F}
goods: {K}s

he(M): he
he(F): she
his(M): his
his(F): her
They(s): It
They(p): They
is(s): is
is(p): are

two_digits: 1{D} | 2{D} | 3{D} | 4{D} | 5{D} | 6{D} | 7{D} | 8{D}
one_digit: 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9
clock: {hour}{tens}{D}
hour: 1: | 2: | 3: | 4: | 5: | 6: | 7: | 8: | 9: | 10: | 11: | 12:
tens: 0 | 1 | 2 | 3 | 4 | 5
day: Monday | Tuesday | Friday | Sunday
time: [3] at {clock} | on {day}
place: {near} the {spot}
near: by | near | behind | under | above | beside
spot: mill | barn | lake | road | wood | hill | gate | well | pond | tree | wall | tent | park | shop | farm | yard

objects: {object} and {object} | {object}, {object} and {object}
  | {object}, {object}, {object} and {object}
object: [4] {a_adjective} {noun(s)} | [2] {a_adjective} {adjective} {noun(s)}
  | [2] one {noun(s)} for {digit}.{digit}{digit}
  | [4] {one_digit} {adjective} {noun(p)} | [3] {two_digits} {noun(p)} | [2] {X}
digit: {D}
a_adjective: [9] a {adjective} | [1] an {vowel_adjective}
adjective: red | blue | grey | pink | dark | pale | big | small | wet | dry | fat | thin | shy | calm | kind | wild
  | sad | mad | neat | fine | soft | hard | tall | long
vowel_adjective: old | odd | idle
noun(s): cat | dog | hen | cow | pig | fox | rat | owl | bear | goat | frog | duck | mouse | goose | wolf | crab
  | key | map | hat | pen | box | bag | bell | rope | lamp | boat | drum | coat | kite | ring | sock | bike
noun(p): cats | dogs | hens | cows | pigs | foxes | rats | owls | bears | goats | frogs | ducks | mice | geese
  | wolves | crabs | keys | maps | hats | pens | boxes | bags | bells | ropes | lamps | boats | drums | coats | kites
  | rings | socks | bikes
friend: son | boss | aunt | twin | uncle | team
do: {V}
act: {T}
does(s): {V}s
does(p): {V}
acts(s): {T}s
acts(p): {T}
)";

}  // namespace fovea::data
