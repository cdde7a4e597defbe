"""Makes the labelled set of `cargo xtask bench accuracy`: pictures of text and the text that each one shows.

The same seed gives the same set, to the byte, with the Pillow pinned in requirements-labelled.txt and the fonts of
Debian's fonts-nanum, fonts-dejavu-core and fonts-liberation.

    python labelled.py FOLDER --seed 1

writes FOLDER/NNN-kind.png (or .jpg, as the camera's are) and FOLDER/labels.json: a list of
{"file", "kind", "layout": "block" | "columns", "text"}. The text stands in reading order: line by line in a block, column
by column on a page with columns.
"""

import argparse
import json
import random
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

FONTS = Path("/usr/share/fonts/truetype")
NANUM = ["NanumGothic", "NanumGothicBold", "NanumMyeongjo", "NanumBarunGothic", "NanumSquareR", "NanumGothicCoding"]
LATIN = [
    "dejavu/DejaVuSans", "dejavu/DejaVuSerif", "dejavu/DejaVuSansMono", "dejavu/DejaVuSans-Bold",
    "liberation/LiberationSans-Regular", "liberation/LiberationSerif-Regular", "liberation/LiberationMono-Regular",
]

ENGLISH = [
    "Hello from your child.", "The school year started last week.", "We planted beans behind the house.",
    "My brother walks to the market every morning.", "It rained for three days and the river rose.",
    "Thank you for the books and the warm coat.", "I am now in the fourth grade.",
    "Our teacher reads a story after lunch.", "The train leaves at 07:45 from platform 3.",
    "Please write back when you have time.", "Mathematics is my favourite subject.",
    "Grandmother sends her best wishes to all of you.", "There were 128 people at the festival.",
    "A new well was dug in the village.", "The quick brown fox jumps over the lazy dog.",
    "He found twelve coins under the old bridge.", "Water boils at 100 degrees at sea level.",
    "Every window of the library faces the garden.", "They sold bread, cheese and honey.",
    "Her letter arrived on Monday, 14 October.", "No one knew why the clock had stopped.",
    "Children under six travel free of charge.", "The doctor asked him to rest for a week.",
    "Fresh paint: do not touch the railing!", "Is the museum open on Sundays?",
]
KOREAN = [
    "안녕하세요, 저는 잘 지내고 있습니다.", "지난주에 새 학기가 시작되었습니다.", "보내 주신 책을 재미있게 읽었습니다.",
    "우리 집 뒤에 콩을 심었습니다.", "동생은 매일 아침 시장에 갑니다.", "사흘 동안 비가 내려서 강물이 불었습니다.",
    "저는 이제 4학년이 되었습니다.", "선생님께서 점심 후에 이야기를 들려주십니다.", "기차는 07시 45분에 출발합니다.",
    "시간이 있으시면 답장해 주세요.", "수학은 제가 가장 좋아하는 과목입니다.", "할머니께서 안부를 전하십니다.",
    "축제에는 128명이 모였습니다.", "마을에 새 우물이 생겼습니다.", "도서관의 창문은 모두 정원을 향해 있습니다.",
    "물은 100도에서 끓습니다.", "그는 오래된 다리 밑에서 동전을 찾았습니다.", "월요일에 편지가 도착했습니다.",
    "시계가 왜 멈추었는지 아무도 몰랐습니다.", "여섯 살 미만의 어린이는 무료입니다.", "박물관은 일요일에도 문을 엽니까?",
    "의사는 일주일 동안 쉬라고 했습니다.", "따뜻한 외투를 보내 주셔서 감사합니다.", "자녀로부터 온 편지입니다.",
]
NUTRIENTS = [
    ("나트륨", "mg", 2000), ("탄수화물", "g", 120), ("당류", "g", 60), ("지방", "g", 50), ("트랜스지방", "g", 3),
    ("포화지방", "g", 15), ("콜레스테롤", "mg", 300), ("단백질", "g", 40), ("칼슘", "mg", 700), ("식이섬유", "g", 25),
]
NUTRIENTS_ENGLISH = [
    ("Total Fat", "g", 50), ("Saturated Fat", "g", 20), ("Trans Fat", "g", 3), ("Cholesterol", "mg", 300),
    ("Sodium", "mg", 2000), ("Total Carbohydrate", "g", 120), ("Dietary Fiber", "g", 25), ("Sugars", "g", 60),
    ("Protein", "g", 40), ("Calcium", "mg", 700), ("Iron", "mg", 18), ("Potassium", "mg", 900),
]
GOODS = ["우유", "식빵", "사과 5개", "고등어", "두부", "라면 멀티팩", "쌀 10kg", "커피 원두", "달걀 30구", "생수 2L", "김치", "오렌지주스"]
GOODS_ENGLISH = [
    "Milk 1L", "Bread", "Apples 5x", "Butter", "Rice 10kg", "Coffee beans", "Eggs 30", "Water 2L", "Cheddar", "Orange juice",
    "Tomatoes", "Olive oil",
]
SHOPS = ["행복마트", "서울식품", "푸른상회", "한빛문구"]
SHOPS_ENGLISH = ["CORNER STORE", "GREEN MARKET", "CITY BOOKS", "NORTH BAKERY"]
TITLES = ["오늘의 소식", "마을 이야기", "학교 신문", "계절의 기록"]
TITLES_ENGLISH = ["Village News", "The Morning Paper", "School Notes", "A Year in Letters"]


class Page:
    """A white page that grows downward as text is written on it, and the text so far."""

    def __init__(self, rng, width, size, korean, ink):
        self.rng, self.width, self.size, self.ink = rng, width, size, ink
        self.name = f"nanum/{rng.choice(NANUM)}" if korean else rng.choice(LATIN)
        self.font = ImageFont.truetype(str(FONTS / f"{self.name}.ttf"), size)
        self.step = round(size * rng.uniform(1.3, 1.75))
        self.margin = rng.randint(size, 3 * size)
        self.image = Image.new("L", (width, 6000), 255)
        self.draw = ImageDraw.Draw(self.image)
        self.y = rng.randint(size, 2 * size)
        self.lines = []

    def bold(self, factor):
        bold = {"nanum": "nanum/NanumGothicBold", "dejavu": "dejavu/DejaVuSans-Bold"}
        name = bold.get(self.name.split("/")[0], "liberation/LiberationSans-Bold")
        return ImageFont.truetype(str(FONTS / f"{name}.ttf"), round(self.size * factor))

    def at(self, x, text, font=None, y=None):
        self.draw.text((x, self.y if y is None else y), text, font=font or self.font, fill=self.ink)

    def line(self, text, x=None, font=None):
        self.at(self.margin if x is None else x, text, font)
        self.lines.append(text)
        self.y += round(self.step * (font.size / self.size if font else 1))

    def rule(self):
        y = self.y + self.step // 4
        self.draw.line((self.margin, y, self.width - self.margin, y), fill=self.ink, width=self.rng.choice([1, 2, 3]))
        self.y += self.step // 2

    def frame(self, top):
        """A box around what was written from `top` on, as printed labels have it."""
        self.y += self.step // 3
        edge = max(4, self.margin // 2)
        box = (edge, max(4, top - self.step // 2), self.width - edge, self.y)
        self.draw.rectangle(box, outline=self.ink, width=self.rng.choice([1, 2, 3]))

    def done(self):
        height = self.y + self.rng.randint(self.size, 3 * self.size)
        return self.image.crop((0, 0, self.width, height)), "\n".join(self.lines)


def wrapped(text, font, width):
    """Lines of whole words, none wider than `width`."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]


def sentences(rng, korean, count):
    return " ".join(rng.sample(KOREAN if korean else ENGLISH, count))


def amount(rng, most):
    value = rng.choice([rng.randint(0, most), round(rng.uniform(0, most / 4), 1)])
    return f"{value:,}"


def label(rng, page, korean):
    top, framed, ruled = page.y, rng.random() < 0.35, rng.random() < 0.2
    title, foot = ("영양정보", "총 내용량") if korean else ("Nutrition Facts", "Serving size")
    large = page.bold(1.5)
    weight = f"{foot} {rng.randint(2, 60) * 10} g"
    left = page.width - page.margin - page.font.getlength(weight)
    if left > page.margin + large.getlength(title) + page.size:
        page.at(page.margin, title, large)
        page.at(left, weight, y=page.y + round(page.size * 0.55))
        page.lines.append(f"{title} {weight}")
        page.y += round(page.size * 2.2)
    else:
        page.line(title, font=large)
        page.line(weight)
    page.rule()
    page.line(f"{rng.randint(40, 900)} kcal")
    spread = rng.random() < 0.4
    names = NUTRIENTS if korean else NUTRIENTS_ENGLISH
    for name, unit, most in rng.sample(names, rng.randint(5, len(names))):
        fact, share = f"{name} {amount(rng, most)} {unit}", f"{rng.randint(0, 90)}%"
        if spread:
            page.at(page.width - page.margin - page.font.getlength(share), share)
            page.at(page.margin, fact)
            page.lines.append(f"{fact} {share}")
            page.y += page.step
        else:
            page.line(f"{fact}   {share}")
        if ruled:
            page.rule()
    if framed:
        page.frame(top)


def letter(rng, page, korean):
    page.line("사랑하는 후원자님께" if korean else "Dear friends,")
    page.y += page.step // 2
    for _ in range(rng.randint(1, 3)):
        text = sentences(rng, korean, rng.randint(2, 4))
        for line in wrapped(text, page.font, page.width - 2 * page.margin):
            page.line(line)
        page.y += round(page.step * rng.uniform(0.3, 1))
    page.line("감사합니다." if korean else "With love,")


def receipt(rng, page, korean):
    shop = rng.choice(SHOPS if korean else SHOPS_ENGLISH)
    large = page.bold(1.3)
    page.line(shop, x=(page.width - large.getlength(shop)) / 2, font=large)
    page.line(f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02} {rng.randint(8, 21):02}:{rng.randint(0, 59):02}")
    page.rule()
    total = 0
    goods = GOODS if korean else GOODS_ENGLISH
    rows = rng.sample(goods, rng.randint(4, 9))
    for name in [*rows, None]:
        price = rng.randint(5, 300) * 100
        total += price
        if name is None:
            page.rule()
            name, price = "합계" if korean else "TOTAL", total - price
        text = f"{price:,}" if korean else f"{price / 1000:.2f}"
        page.at(page.margin, name)
        page.at(page.width - page.margin - page.font.getlength(text), text)
        page.lines.append(f"{name} {text}")
        page.y += page.step
    page.line("감사합니다" if korean else "Thank you!")


def note(rng, page, korean):
    for line in wrapped(sentences(rng, korean, rng.randint(1, 2)), page.font, page.width - 2 * page.margin):
        page.line(line)


def columns(rng, page, korean):
    if rng.random() < 0.6:
        title = rng.choice(TITLES if korean else TITLES_ENGLISH)
        page.line(title, font=page.bold(rng.choice([1.5, 2])))
        page.y += page.step // 2
    count = rng.choice([2, 2, 2, 3]) if page.width > 1300 else 2
    gutter = rng.randint(2, 4) * page.size
    width = (page.width - 2 * page.margin - (count - 1) * gutter) // count
    top, lowest = page.y, page.y
    for column in range(count):
        page.y = top
        for _ in range(rng.randint(1, 3)):
            for line in wrapped(sentences(rng, korean, rng.randint(3, 6)), page.font, width):
                page.line(line, x=page.margin + column * (width + gutter))
            page.y += round(page.step * 0.7)
        lowest = max(lowest, page.y)
    page.y = lowest


BLOCKS = [label, letter, receipt, note]


def noise(rng, size):
    """Grey noise about 128, near a normal distribution: the mean of two uniform ones."""
    one, two = (Image.frombytes("L", size, rng.randbytes(size[0] * size[1])) for _ in range(2))
    return Image.blend(one, two, 0.5)


def worn(rng, image):
    """The page as a scanner or a camera gives it: skewed, shaded, pale, blurred, noisy. A fifth stay as drawn."""
    if rng.random() < 0.2:
        return image, ".png"
    paper = rng.randint(190, 255)
    image = image.point([round(paper * level / 255) for level in range(256)])
    if rng.random() < 0.5:
        image = image.rotate(rng.uniform(-2.5, 2.5), Image.Resampling.BICUBIC, fillcolor=paper)
    if rng.random() < 0.3:
        ramp = Image.linear_gradient("L").rotate(rng.choice([0, 90, 180, 270])).resize(image.size)
        image = ImageChops.multiply(image, ramp.point([255 - round((255 - v) * 0.3) for v in range(256)]))
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.6:
        # What is added is noise about zero: 128 is taken off again.
        strength = rng.uniform(0.05, 0.35)
        grain = noise(rng, image.size).point([round(128 + (v - 128) * strength) for v in range(256)])
        image = ImageChops.add(image, grain, 1, -128)
    return image, rng.choice([".png", ".jpg"])


def draw(rng, kind):
    korean = rng.random() < 0.55
    size = rng.choice([14, 16, 18, 20, 24, 28, 32, 40, 48])
    wide = {columns: rng.randint(44, 64), letter: rng.randint(28, 40), note: rng.randint(22, 34)}
    width = round(min(size, 32 if kind is columns else size) * wide.get(kind, rng.randint(18, 26)))
    size = min(size, 32) if kind is columns else size
    page = Page(rng, width, size, korean, rng.choice([0, 0, 20, 60, 90]))
    kind(rng, page, korean)
    image, text = page.done()
    image, suffix = worn(rng, image)
    return image, text, suffix


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=56)
    parser.add_argument("--columns", type=int, default=16)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    kinds = [BLOCKS[i % len(BLOCKS)] for i in range(args.blocks)] + [columns] * args.columns
    labels = []
    for index, kind in enumerate(kinds):
        rng = random.Random(f"{args.seed} {kind.__name__} {index}")
        image, text, suffix = draw(rng, kind)
        name = f"{index:03}-{kind.__name__}{suffix}"
        image.save(args.folder / name, **({"quality": rng.randint(60, 92)} if suffix == ".jpg" else {}))
        layout = "columns" if kind is columns else "block"
        labels.append({"file": name, "kind": kind.__name__, "layout": layout, "text": text})
    (args.folder / "labels.json").write_text(json.dumps(labels, ensure_ascii=False, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
