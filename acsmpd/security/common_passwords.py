"""What people choose when a password must be long: words, keyboard walks, known favourites. Data only."""

from __future__ import annotations

WALKS = (
    "1234567890",
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertzuiop",
    "azertyuiop",
    "!@#$%^&*()",
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "7ujm",
    "8ik,",
    "9ol.",
    "0p;/",
    "!qaz",
    "@wsx",
    "#edc",
    "$rfv",
    "147258369",
    "159357",
    "741852963",
)

WORDS = frozenset(
    """
    access account acsmp acsmpd admin administrator algorithm angel asdf baby bailey banana baseball
    basketball batman beijing bonjour bosch box boss buster butterfly camera changeme charlie cheese
    china chocolate chongqing cisco computer computility console cookie corona corvette cowboys daniel dahua
    database default demo device diamond digital domain donald dragon edge engine enter eagles email family
    ferrari flower football forever freedom friend friends gateway george ginger google guangzhou guest
    hallo hammer hangzhou hannah harley heaven hello hikvision home huawei hunter i iloveu iloveyou intel
    internet jennifer jessica jesus jordan joshua justin killer kingston letmein linux liverpool login london
    love lovely lucky manager marina master matrix matthew megvii mercedes michael michelle mickey
    microsoft monitor monkey monster mustang my nanjing naruto nicole ninja nvidia office operator oracle
    orange pass passphrase passw password pepper phoenix platform please pokemon police princess private
    public purple qazwsx qwer qwert qwerty rainbow ranger raspberry root samsung secret security server
    service shadow shanghai shenzhen silver soccer spiderman starwars station steelers strong summer sunshine
    super superman superuser support supervisor switch sysadmin system taylor tech temp temporary test tester
    testing thomas thunder tiger tigger trustno ubuntu uniview user username video viewer welcome
    whatever william winter woaini wode work world wuhan xiaomi yankees your zaq zhang zxc zxcv
    the this is and me you mima nihao spring autumn january february march april june july august september
    october november december monday tuesday wednesday thursday friday saturday sunday
    """.split()  # noqa: SIM905
)

PHRASES = frozenset(
    """
    abracadabra1 barcelona2012 blackberry12 bubblegum123 californication championship christopher1
    congratulations correcthorsebatterystaple cristianoronaldo disneyland12 elephant1234 fantastic4you
    helloworld123 imthebest123 interesting1 itsmypassword
    jackdaniels1 jesuschrist1 lifeisgood12 lordoftherings manchester10 manchesterunited
    marlboro1234 metallica123 minecraft123 mynameisjeff mypassword12 neverforget1 newcastle123 nightmare123
    nopassword12 northcarolina notmypassword opensesame12 peanutbutter photography1 playstation1 playstation3
    pneumonoultramicroscopicsilicovolcanoconiosis q1w2e3r4t5y6 q1w2e3r4t5y6u7i8 qawsedrftgyh qazwsxedcrfv
    qwaszxqwaszx qweasdzxc123 qweqweqweqwe realmadrid12 redhotchili1 rockandroll1 rollercoaster scoobydoo123
    skateboarding skywalker123 snowboarding somethingelse southpark123 starcraft123
    stephencurry strawberry12 supercalifragilisticexpialidocious teenagemutant thebeatles12 thisismypassword
    tinkerbell12 transformers tupacshakur1 unbelievable underground1 undertaker12 universal123
    volkswagen12 watermelon12 wolverine123 woaini1314520 woaini520520 woaiwojia123 wonderful123
    xiaoxiao1234 zaq12wsxcde3 zxcvbnm12345 5201314woaini a1b2c3d4e5f6 a123456789b0 aa123456789a abc123456789
    abcd12345678 asd123456789 asdf12345678 qq1234567890 wang123456789 zhang12345678 li1234567890 13145201314
    """.split()  # noqa: SIM905
)
