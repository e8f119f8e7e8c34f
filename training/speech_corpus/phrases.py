"""Prose of our own for the synthesizers: English templates with fillers, and phrases in other languages."""

TEMPLATES = (
    "{greet}, {clause}.",
    "{greet}, my name is {name}, and {clause}.",
    "{person} {verb_past} the {adj} {noun} {place}.",
    "{person} {verb_past} the {noun} {place}, but {person} {verb_past} a {adj} {noun}.",
    "Why did {person} {verb} the {adj} {noun} {time}?",
    "Could you please {verb} the {noun} before {person} {verb_past} it?",
    "I {modal} {verb} my {noun} {time}, and then {verb} yours.",
    "{time}, {person} {modal} {verb} the {noun} {place}.",
    "The {adj} {noun} {place} was {adj}, {adj} and {adj}.",
    "{clause}, because the {noun} {modal} never {verb} itself.",
    "Your order of {number} {noun}s will arrive {time}.",
    "We found {number} {adj} {noun}s {place}; {person} {verb_past} {number} of them.",
    "If the {noun} is too {adj}, {verb} it {place} and wait.",
    "No, {clause}. Not {time}, anyway.",
    "Yes! {clause}!",
    "What a {adj} {noun}!",
    "Have you ever {verb_past} a {noun} {place}?",
    "{person} said, {clause}.",
    "Well, {clause}, and {clause}.",
    "Hmm, {clause}.",
    "The total comes to {number} dollars and {number} cents.",
    "Please press {number}, or say {noun}, to {verb} the {noun}.",
    "{name} and {name} {verb_past} {number} {noun}s {time}.",
    "It takes {number} minutes to {verb} a {adj} {noun}.",
    "Both {name} and I {modal} {verb} {place} {time}.",
    "Maybe {person} {modal} {verb} it, maybe not.",
    "Open the {noun}, {verb} the {noun}, and close the {noun} again.",
    "Of all the {noun}s {place}, this is the most {adj} one.",
    "{time} was {adj}; {time} was {adj} too.",
    "Who {verb_past} my {adj} {noun}, and who {verb_past} yours?",
    "{noun}, {noun}, {noun} and {noun}.",
    "Oh, {person} {verb_past} it {place}, I think.",
    "Hardly anybody {verb_past} the {noun}, although {clause}.",
    "Above all, {verb} the {adj} {noun} with care.",
    "There were {number} of us {place}, all of them {adj}.",
    "You asked about the {noun}. {clause}.",
    "Thank you for calling; {clause}.",
)

FILLERS = {
    "greet": (
        "hello", "good morning", "good evening", "welcome back", "hi there", "excuse me", "dear friends", "thanks for waiting",
        "nice to meet you", "good afternoon", "listen", "by the way", "oh my", "pardon me", "welcome",
    ),
    "name": (
        "Bob", "Pam", "Emma", "Philip", "Vivian", "Thelma", "George", "Joshua", "Charlotte", "Roy", "Olivia", "Howard", "Zoe",
        "Abigail", "Matthew", "Fiona", "Wayne", "Yolanda", "Kate", "Hugo", "Sarah", "Bartholomew", "Ursula", "Quentin",
    ),
    "person": (
        "my mother", "the baker", "our neighbour", "a bumblebee", "the famous painter", "nobody", "everyone", "she", "he", "they",
        "the young widow", "a brave fireman", "that vampire", "the chemist", "your uncle", "the whole village", "the judge",
        "some children", "a shy giraffe", "the weather woman", "my boss", "the pope", "this machine", "the thief", "an old bear",
        "the hairdresser", "one of the pilots", "the boy with the balloon", "a yellow robin", "the queen",
    ),
    "verb": (
        "push", "remember", "polish", "move", "bring", "throw", "measure", "forget", "paint", "observe", "borrow", "choose",
        "follow", "whisper to", "improve", "admire", "wash", "record", "carry", "save", "broadcast", "pull", "weigh", "chew",
        "breathe on", "explain", "jump over", "put away", "warm up", "beat", "vacuum", "simplify", "join", "examine", "shove",
    ),
    "verb_past": (
        "bought", "found", "moved", "popped", "painted", "described", "lost", "imagined", "chased", "believed", "kept", "loved",
        "wrapped", "mixed", "burned", "photographed", "stirred", "squeezed", "thought of", "watched", "hid", "borrowed",
        "swallowed", "pulled apart", "stopped", "climbed", "warmed", "bumped into", "heard", "destroyed", "yawned at", "smelled",
    ),
    "adj": (
        "beautiful", "purple", "enormous", "empty", "warm", "thoughtful", "fresh", "foggy", "wooden", "yellow", "bitter", "shiny",
        "ugly", "smooth", "rough", "clumsy", "brave", "humble", "curious", "obvious", "vague", "proper", "wild", "hopeful", "boring",
        "average", "golden", "peaceful", "quick", "loud", "thirsty", "healthy", "early", "quiet", "awkward", "moist", "huge",
    ),
    "noun": (
        "pebble", "umbrella", "mirror", "bathtub", "window", "apple", "computer", "camera", "boat", "lemon", "violin", "feather",
        "mushroom", "treasure", "bridge", "potato", "thermometer", "hamburger", "pillow", "suitcase", "garden", "puppet", "voice",
        "bubble", "planet", "beach", "tooth", "cabbage", "elephant", "jewel", "flower", "chair", "book", "house", "wheel", "oyster",
        "message", "problem", "airplane", "mouse", "shoe", "vase", "web page", "battery", "mosquito", "youth club", "leather bag",
    ),
    "place": (
        "in the kitchen", "by the river", "above the harbor", "behind the barn", "at the opera", "on the moon", "under my bed",
        "near the old church", "on the third floor", "in Paris", "between two walls", "outside", "over there", "at home",
        "beyond the mountains", "in the middle of the room", "along the beach", "through the fog", "at the bus stop", "everywhere",
    ),
    "time": (
        "yesterday", "this morning", "before lunch", "every Thursday", "in November", "around five o'clock", "last week", "tomorrow",
        "at midnight", "in a moment", "after the storm", "twice a month", "on Sunday", "right now", "all summer", "once in a while",
        "in the beginning", "from time to time", "years ago", "at half past three",
    ),
    "modal": ("will", "must", "should", "could", "would", "can", "might", "may", "cannot", "won't", "have to", "used to"),
    "number": (
        "two", "three", "four", "five", "seven", "eleven", "twelve", "thirteen", "twenty", "forty-two", "ninety-nine", "a hundred",
        "eighty-six", "one thousand", "fifty-eight", "zero", "eight hundred and sixteen", "a million",
    ),
    "clause": (
        "the weather is improving", "we move to a bigger place", "I am happy to help you", "people love simple things",
        "nobody knows what the future will bring", "my favorite film begins at five", "the music was far too loud",
        "both paths lead above the waterfall", "I would rather walk than wait", "they both spoke at the same time",
        "the bus will be five minutes late", "you may change your mind", "the pump broke down", "we appreciate your patience",
        "it smells of apples and fresh bread", "the answer is easy to remember", "every problem has more than one solution",
        "he who laughs last laughs best", "your voice makes my lips move", "the ship went around the cape",
        "I thought the truth was obvious", "she sells seashells by the shore", "we will have a look at it together",
        "that noise is the old machine", "my phone number ends with seven", "the boy would not give up", "you owe me a cup of coffee",
        "all of us were there", "how you do it is up to you", "the moon looks huge from here", "a bad map is better than none",
    ),
}  # fmt: skip

PHRASES = {
    "de": (
        "Guten Morgen, wie geht es Ihnen heute?", "Der Bäcker verkauft frisches Brot und süße Brötchen.", "Wir fahren übermorgen mit dem Zug nach München.",
        "Können Sie mir bitte den Weg zum Bahnhof zeigen?", "Fünf junge Füchse laufen durch den dunklen Wald.", "Mein Bruder möchte ein schönes Buch über Vögel kaufen.",
        "Im Sommer schwimmen die Kinder oft im See.", "Ich habe leider keine Zeit, aber vielleicht morgen Abend.", "Das Wetter bleibt wahrscheinlich bis Freitag schlecht.",
        "Pass bitte auf, die Treppe ist sehr steil!", "Öffne die Tür und höre die Musik.", "Zwölf Boxkämpfer jagen einen müden Wolf.",
    ),
    "es": (
        "Buenos días, ¿cómo está usted hoy?", "Mi abuela vive en un pueblo pequeño cerca del mar.", "El perro blanco corre por la playa vacía.",
        "¿Puede usted abrir la puerta, por favor?", "Mañana vamos a comprar pan, queso y manzanas.", "El invierno pasado llovió mucho en toda la provincia.",
        "Me gusta beber un vaso de vino bajo el árbol viejo.", "La profesora explica el problema muy bien.", "Siempre hay alguien que llega demasiado tarde.",
        "Nunca he visto un cielo tan limpio.", "Hablamos por teléfono cada domingo.", "El jefe guarda las llaves en su bolsillo.",
    ),
    "fr": (
        "Bonjour, comment allez-vous aujourd'hui?", "Ma voisine achète du pain et du beurre au marché.", "Nous partons demain matin pour la montagne.",
        "Pouvez-vous ouvrir la fenêtre, s'il vous plaît?", "Le petit garçon joue avec un ballon bleu.", "Un bon vin blanc accompagne le poisson.",
        "Il pleut depuis deux heures et je n'ai pas de parapluie.", "La jeune fille chante une vieille chanson.", "Tout le monde veut voir ce film.",
        "Peux-tu me prêter ton livre jusqu'à jeudi?", "Les oiseaux chantent sous les feuilles.", "Où sont passées mes lunettes brunes?",
    ),
    "pt": (
        "Bom dia, como vai você?", "O menino come uma maçã no jardim.", "Amanhã vamos à praia com os nossos amigos.", "A minha avó faz um bolo muito bom.",
        "Onde fica a estação de comboios?", "Não há ninguém em casa hoje à noite.", "O pão quente cheira muito bem.", "Ela vive numa cidade pequena perto do mar.",
    ),
    "nl": (
        "Goedemorgen, hoe gaat het met u?", "De bakker verkoopt vers brood en koekjes.", "Wij gaan morgen met de fiets naar het strand.", "Kunt u mij de weg naar het station wijzen?",
        "Mijn buurvrouw heeft een mooie tuin vol bloemen.", "Het regent al de hele dag in Utrecht.", "Waarom blijft de deur altijd open?", "Vijf jongens zwemmen in het diepe water.",
    ),
    "sv": (
        "God morgon, hur mår du idag?", "Min mamma bor i ett rött hus vid sjön.", "Vi åker till fjällen på fredag.", "Kan du hjälpa mig att öppna fönstret?",
        "Barnen leker i parken hela eftermiddagen.", "Det är mycket folk på bussen.", "Han köpte sju nya böcker igår.", "Björnen sover under granen.",
    ),
    "pl": (
        "Dzień dobry, jak się pan ma?", "Moja babcia mieszka w małym domu pod lasem.", "Jutro pojedziemy pociągiem do Warszawy.", "Czy możesz otworzyć okno?",
        "Pies biega po pustej plaży.", "W sobotę kupimy chleb, masło i jabłka.", "Nigdy nie widziałem tak czystego nieba.", "Każdy problem ma proste rozwiązanie.",
    ),
    "tr": (
        "Günaydın, bugün nasılsınız?", "Annem pazardan taze ekmek ve peynir aldı.", "Yarın sabah otobüsle köye gideceğiz.", "Lütfen pencereyi açar mısın?",
        "Küçük çocuk bahçede top oynuyor.", "Bu film çok uzun ama güzel.", "Köpek boş sahilde koşuyor.", "Her pazar telefonla konuşuyoruz.",
    ),
    "hi": (
        "नमस्ते, आप कैसे हैं?", "मेरी माँ बाज़ार से फल लाती है।", "हम कल सुबह गाँव जाएँगे।", "कृपया खिड़की खोल दीजिए।",
        "छोटा बच्चा बगीचे में खेल रहा है।", "आज मौसम बहुत अच्छा है।", "पानी ठंडा और साफ़ है।", "भाई ने नई किताब पढ़ी।",
    ),
}  # fmt: skip
