"""Makes the samples that Rust has no encoder for. Needs Pillow 13.0.0; run it here: `python make.py`.

Each is the test suite's asymmetric picture (support.rs draws the same one): 48×32, quarters red, green, blue, white.
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
