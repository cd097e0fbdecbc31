"""Makes the samples that Rust has no encoder for. Needs Pillow 13.0.0; run it here: `python make.py`.

What lies in `eighth/` are JPEGs of a picture with something in every block, each beside its luminance as libjpeg-turbo
reduces it to an eighth. Every other is the test suite's asymmetric picture (support.rs draws the same one): 48×32, quarters red, green, blue, white.
"""

from PIL import Image

WIDTH, HEIGHT = 48, 32
QUARTERS = [(200, 40, 40), (40, 160, 40), (40, 40, 200), (240, 240, 240)]


def picture(mode="RGB"):
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for index, colour in enumerate(QUARTERS):
        image.paste(colour, ((index % 2) * WIDTH // 2, (index // 2) * HEIGHT // 2,
                             (index % 2 + 1) * WIDTH // 2, (index // 2 + 1) * HEIGHT // 2))
    return image.convert(mode)


def translucent():
    image = picture("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))
    return image


def small_frame():
    """An animation whose first frame is the picture, and whose second covers a corner only."""
    second = picture()
    second.paste((0, 0, 0), (0, 0, 8, 8))
    return [picture(), second]


EIGHTHS = {
    "420": dict(quality=80, subsampling=2),
    "422-restart": dict(quality=90, subsampling=1, restart_marker_blocks=5),
    "444-best": dict(quality=100, subsampling=0),
    "coarse": dict(quality=1, subsampling=2),
    "wide-quantiser": dict(qtables=[[300] + [60] * 63, [280] + [90] * 63], subsampling=2),
    "progressive": dict(quality=85, subsampling=2, progressive=True),
    "progressive-restart": dict(quality=50, subsampling=0, progressive=True, restart_marker_rows=1),
    "optimised": dict(quality=95, subsampling=1, optimize=True),
}


def busy(width=203, height=149):
    """Sides that are no multiple of a block; gradients, waves that grow finer, and clipped extremes."""
    def pixel(x, y):
        wave = (x * x // 7 + y * y // 5) % 97
        return (x * 255 // width, (y * 511 // height + wave) % 256, 255 * (x // 30 % 2) if y > 100 else wave * 2)
    image = Image.new("RGB", (width, height))
    image.putdata([pixel(x, y) for y in range(height) for x in range(width)])
    return image


def eighth(name, image, **options):
    image.save(f"eighth/{name}.jpg", **options)
    with Image.open(f"eighth/{name}.jpg") as reduced:
        reduced.draft("L", (reduced.width // 8, reduced.height // 8))
        reduced.load()
        assert (reduced.mode, reduced.size) == ("L", ((image.width + 7) // 8, (image.height + 7) // 8))
        reduced.save(f"eighth/{name}.png", optimize=True)


if __name__ == "__main__":
    picture().save("progressive.jpg", quality=95, progressive=True, subsampling=0)
    picture().save("subsampled.jpg", quality=95, subsampling=2)
    picture("CMYK").save("cmyk.jpg", quality=95)
    picture().save("lossy.webp", quality=95)
    translucent().save("lossy-alpha.webp", quality=95)
    frames = small_frame()
    frames[0].save("animated.webp", save_all=True, append_images=frames[1:], quality=95, duration=100)
    frames[0].save("animated.gif", save_all=True, append_images=frames[1:], duration=100)
    frames[0].save("animated.png", save_all=True, append_images=frames[1:], duration=100)
    picture().quantize(4).save("palette.png")
    picture("1").save("bilevel.tif", compression="group4")
    picture("CMYK").save("cmyk.tif", compression="tiff_lzw")
    picture().save("jpeg.tif", compression="jpeg", quality=95)
    picture().quantize(4).save("palette.bmp")
    for name, options in EIGHTHS.items():
        eighth(name, busy(), **options)
    eighth("grey", busy().convert("L"), quality=85)
    eighth("grey-progressive", busy().convert("L"), quality=85, progressive=True)
