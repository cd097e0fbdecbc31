"""Makes the samples that Rust has no encoder for. Needs Pillow 13.0.0 and, for AVIF of 10 and 12 bits, OpenCV 5.0.0
(opencv-python-headless 5.0.0.93); run it here: `python make.py`.

What lies in `eighth/` are JPEGs of a picture with something in every block, each beside its luminance as libjpeg-turbo
reduces it to an eighth; in `whole/`, others beside all of them as libjpeg-turbo decodes it; in `animations/`, each beside its frames as Pillow composes
them; in `lossless/`, WebP as libwebp writes it at every effort; in `avif/`, those that begin with `busy` are beside what Pillow makes of them. Every other is the test suite's
asymmetric picture (support.rs draws the same one): 48×32, quarters red, green, blue, white.
"""

import io
import os
import struct
from io import BytesIO

import cv2
import numpy
from PIL import Image, ImageChops, ImageDraw, ImageSequence

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


def ycck(name):
    """Inks as Photoshop writes them: three as luminance and chroma, black inverted, and the Adobe marker that says so. Pillow
    has no option for that: it is given such channels as if they were inks, which it inverts."""
    cyan, magenta, yellow, black = picture("CMYK").split()
    transformed = Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr").split()
    stored = [*transformed, ImageChops.invert(black)]
    Image.merge("CMYK", [ImageChops.invert(channel) for channel in stored]).save(name, quality=95)
    with open(name, "r+b") as file:
        content = file.read()
        file.seek(content.index(b"Adobe") + 11)
        assert content[file.tell()] == 0
        file.write(b"\x02")


def tiff(name, entries, data):
    """A TIFF of one page: tags with their types and values, and what lies at 8, before them."""
    directory, beyond = 8 + len(data), b""
    after = directory + 2 + 12 * len(entries) + 4
    table = struct.pack("<H", len(entries))
    for tag, type_, values in sorted(entries):
        packed = struct.pack(f"<{len(values)}{'H' if type_ == 3 else 'I'}", *values)
        table += struct.pack("<HHI", tag, type_, len(values))
        if len(packed) > 4:
            table += struct.pack("<I", after + len(beyond))
            beyond += packed + b"\0" * (len(packed) % 2)
        else:
            table += packed.ljust(4, b"\0")
    with open(name, "wb") as file:
        file.write(b"II*\0" + struct.pack("<I", directory) + data + table + b"\0\0\0\0" + beyond)


def strips_tiff(name, compression, image, **options):
    """A TIFF of two strips, each of which is a picture of its own; Pillow's own libtiff has not learnt to."""
    strips = []
    for top in (0, HEIGHT // 2):
        stream = BytesIO()
        image.crop((0, top, WIDTH, top + HEIGHT // 2)).save(stream, **options)
        strips.append(stream.getvalue())
    entries = [(256, 3, [WIDTH]), (257, 3, [HEIGHT]), (258, 3, [8, 8, 8]), (259, 3, [compression]), (262, 3, [2]),
               (273, 4, [8, 8 + len(strips[0])]), (277, 3, [3]), (278, 3, [HEIGHT // 2]),
               (279, 4, [len(strip) for strip in strips])]
    tiff(name, entries, b"".join(strips))


def old_jpeg(name, kind):
    """A TIFF with JPEG as TIFF 6.0 had it, which nobody writes any more: as `whole` all of a JPEG; as `strips` its headers,
    and in each of two strips a part of its data; as `tables` the tables alone, each by itself, and one strip of data."""
    def encoded(image):
        stream = BytesIO()
        image.save(stream, "JPEG", quality=95, subsampling=2)
        content, at, segments = stream.getvalue(), 2, {}
        while content[at + 1] != 0xDA:
            length = int.from_bytes(content[at + 2:at + 4], "big")
            segments.setdefault(content[at + 1], []).append(content[at + 4:at + 2 + length])
            at += 2 + length
        length = int.from_bytes(content[at + 2:at + 4], "big")
        return segments, content[at:at + 2 + length], content[at + 2 + length:-2]

    def joined(segments, markers):
        return b"".join(bytes((0xFF, marker)) + (len(segment) + 2).to_bytes(2, "big") + segment
                        for marker in markers for segment in segments[marker])

    halves = 2 if kind == "strips" else 1
    parts = [encoded(picture().crop((0, HEIGHT // halves * part, WIDTH, HEIGHT // halves * (part + 1))))
             for part in range(halves)]
    segments, scan, _ = encoded(picture())
    headers = b"\xff\xd8" + joined(segments, (0xDB, 0xC4, 0xC0)) + scan
    data, start = b"", 8
    entries = [(256, 3, [WIDTH]), (257, 3, [HEIGHT]), (258, 3, [8, 8, 8]), (259, 3, [6]), (262, 3, [6]), (277, 3, [3]),
               (278, 3, [HEIGHT // halves]), (512, 3, [1]), (530, 3, [2, 2])]
    if kind == "tables":
        places = {}
        quantisation = b"".join(segments[0xDB])
        for tag, tables in ((519, [quantisation[1:65], quantisation[66:130]]),
                            (520, [table[1:] for table in segments[0xC4] if table[0] < 16]),
                            (521, [table[1:] for table in segments[0xC4] if table[0] >= 16])):
            places[tag] = []
            for table in tables:
                places[tag].append(start + len(data))
                data += table
            entries.append((tag, 4, [places[tag][0], places[tag][1], places[tag][1]]))
    else:
        entries += [(513, 4, [start]), (514, 4, [len(headers)])]
        data += headers
    offsets = []
    for _, _, part in parts:
        offsets.append(start + len(data))
        data += part
    data += b"\xff\xd9" + b"\0" * (len(data) % 2)
    entries += [(273, 4, offsets), (279, 4, [len(part) for _, _, part in parts])]
    tiff(name, entries, data)


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


WHOLES = {
    "444": dict(quality=90, subsampling=0),
    "422": dict(quality=80, subsampling=1),
    "420": dict(quality=80, subsampling=2),
    "420-progressive": dict(quality=70, subsampling=2, progressive=True),
    "420-restart": dict(quality=60, subsampling=2, restart_marker_blocks=3),
    "420-progressive-restart": dict(quality=60, subsampling=2, progressive=True, restart_marker_blocks=3),
    "coarse": dict(quality=3, subsampling=2),
    "rgb": dict(quality=80, keep_rgb=True),
}
# Only OpenCV writes these.
SAMPLINGS = {"440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411}


# Sampling factors, across and down, of each channel.
FACTORS = {
    "3x1": [(3, 1), (1, 1), (1, 1)],
    "1x3": [(1, 3), (1, 1), (1, 1)],
    "3x2": [(3, 2), (1, 1), (3, 1)],
    "3x3-chroma": [(1, 1), (3, 3), (3, 1)],
    "4x3": [(4, 3), (2, 1), (1, 3)],
    "cmyk-3x2": [(3, 2), (1, 1), (3, 1), (1, 2)],
    "ycck-3x1": [(3, 1), (1, 1), (1, 1), (3, 1)],
}


def segments(jpeg):
    """The marker of each segment, and all its bytes; of the scan, with its data, up to the end of the image."""
    at = 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2:at + 4], "big")
        yield jpeg[at + 1], jpeg[at:end]
        at = end
    yield jpeg[at + 1], jpeg[at:-2]


def assembled(channels, factors, adobe=b""):
    """Channels as a JPEG with a scan for each, sampled as nobody's encoder samples: Pillow writes them as grey pictures."""
    (width, height), most = channels[0].size, [max(factor) for factor in zip(*factors)]
    frame = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([len(channels)])
    head, scans = b"", b""
    for number, (channel, (h, v)) in enumerate(zip(channels, factors), 1):
        grey = io.BytesIO()
        channel.resize((-(-width * h // most[0]), -(-height * v // most[1]))).save(grey, "JPEG", quality=80)
        parts = list(segments(grey.getvalue()))
        # The tables are the same for all.
        head = b"".join(segment for marker, segment in parts if marker in (0xDB, 0xC4))
        header, data = parts[-1][1][:10], parts[-1][1][10:]
        scans += header[:5] + bytes([number]) + header[6:] + data
        frame += bytes([number, h << 4 | v, 0])
    frame = b"\xff\xc0" + (len(frame) + 2).to_bytes(2, "big") + frame
    return b"\xff\xd8" + adobe + head + frame + scans + b"\xff\xd9"


def inks(image):
    """What is stored of inks, without a transform and with one."""
    stored = [ImageChops.invert(channel) for channel in image.convert("CMYK").split()]
    transformed = Image.merge("RGB", [ImageChops.invert(channel) for channel in stored[:3]]).convert("YCbCr")
    return stored, [*transformed.split(), stored[3]]


def wholes():
    """What each way of subsampling is enlarged to; two columns of chroma, which are not mixed, and one."""
    image = busy(61, 45)
    dark = ImageChops.multiply(image, Image.linear_gradient("L").resize(image.size).convert("RGB"))
    for name, factors in FACTORS.items():
        stored = {"c": inks(dark)[0], "y": inks(dark)[1]}.get(name[0], image.convert("YCbCr").split())
        adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x02" if name.startswith("ycck") else b""
        with open(f"whole/{name}.jpg", "wb") as file:
            file.write(assembled(stored, factors, adobe))
    for name, options in WHOLES.items():
        image.save(f"whole/{name}.jpg", **options)
    for name, sampling in SAMPLINGS.items():
        pixels = numpy.asarray(image)[:, :, ::-1]
        cv2.imwrite(f"whole/{name}.jpg", pixels, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])
    image.convert("L").save("whole/grey.jpg", quality=80)
    for width in (1, 4):
        for subsampling in (1, 2):
            narrow = image.crop((20, 3, 20 + width, 24))
            narrow.save(f"whole/{width}-42{2 - 2 * (subsampling - 1)}.jpg", quality=90, subsampling=subsampling)
    for name in os.listdir("whole"):
        if name.endswith(".jpg"):
            with Image.open(f"whole/{name}") as shown:
                shown.convert("RGB").save(f"whole/{name[:-4]}.png", optimize=True)


def lossless():
    """Colours of every count, so that palettes of every width, caches and each transform are used; sides that are odd."""
    image = busy()
    for method, quality in [(0, 0), (2, 40), (4, 75), (6, 100)]:
        image.save(f"lossless/busy-{method}.webp", lossless=True, method=method, quality=quality)
    faded = busy(101, 67).convert("RGBA")
    faded.putalpha(Image.linear_gradient("L").resize(faded.size))
    faded.save("lossless/faded.webp", lossless=True, exact=True)
    for colours in (1, 2, 4, 16, 200):
        few = busy(101, 67).quantize(colours, dither=Image.Dither.NONE).convert("RGB")
        few.save(f"lossless/colours-{colours}.webp", lossless=True)


def composed(name):
    """Every frame of an animation as Pillow shows it, one below the other, for a decoder to be held against."""
    with Image.open(f"animations/{name}") as animation:
        frames = [frame.convert("RGBA") for frame in ImageSequence.Iterator(animation)]
    strip = Image.new("RGBA", (frames[0].width, sum(frame.height for frame in frames)))
    for nth, frame in enumerate(frames):
        strip.paste(frame, (0, nth * frame.height))
    strip.save(f"animations/{name}.strip.png", optimize=True)


def moving(count=5, size=40):
    """A disc and a square that cross a transparent ground; opaque, as Pillow composites wrongly what is translucent."""
    frames = []
    for nth in range(count):
        frame = Image.new("RGBA", (size, size))
        draw = ImageDraw.Draw(frame)
        draw.ellipse((nth * 5, 4, nth * 5 + 16, 20), fill=(220, 60, 20, 255))
        draw.rectangle((30 - nth * 4, 22, 38 - nth * 4, 34), fill=(20, 90, 200, 255))
        frames.append(frame)
    return frames


def animations():
    frames = moving()
    opaque = [Image.alpha_composite(Image.new("RGBA", frame.size, "white"), frame).convert("RGB") for frame in frames]
    for disposal in (0, 1, 2, 3):
        shown = opaque if disposal < 2 else frames
        shown[0].save(f"animations/disposal-{disposal}.gif", save_all=True, append_images=shown[1:],
                      duration=[40, 50, 60, 70, 80], loop=3, disposal=disposal)
        composed(f"disposal-{disposal}.gif")
    busy(60, 45).save("animations/interlaced.gif", interlace=1)
    composed("interlaced.gif")
    # Not both at once, blending over and restoring what was: there, Pillow does not undo as the standard has it.
    for blend, disposal in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]:
        name = f"blend-{blend}-dispose-{disposal}.png"
        frames[0].save(f"animations/{name}", save_all=True, append_images=frames[1:], duration=[40, 50, 60, 70, 80],
                       loop=3, disposal=disposal, blend=blend)
        composed(name)
    frames[0].save("animations/default-image.png", save_all=True, append_images=frames[1:], default_image=True,
                   duration=30)
    opaque[0].convert("L").save("animations/grey.png", save_all=True, duration=20, loop=0,
                                append_images=[frame.convert("L") for frame in opaque[1:]])
    composed("grey.png")


AVIFS = {
    "420": dict(subsampling="4:2:0"),
    "422": dict(subsampling="4:2:2"),
    "444": dict(subsampling="4:4:4"),
    "narrow": dict(subsampling="4:4:4", range="limited"),
}


def deep_avif(name, image, depth):
    """Samples of 10 or 12 bits."""
    values = numpy.asarray(image, numpy.uint32)[:, :, ::-1] * ((1 << depth) - 1) // 255
    cv2.imwrite(f"avif/{name}.avif", values.astype(numpy.uint16), [cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_QUALITY, 90])


def avifs():
    small = busy(61, 45)
    for name, options in AVIFS.items():
        picture().save(f"avif/{name}.avif", quality=90, speed=4, **options)
        small.save(f"avif/busy-{name}.avif", quality=80, speed=4, **options)
    deep_avif("10", picture(), 10)
    deep_avif("12", picture(), 12)
    deep_avif("busy-10", small, 10)
    for name in [*AVIFS, "10"]:
        with Image.open(f"avif/busy-{name}.avif") as shown:
            shown.convert("RGB").save(f"avif/busy-{name}.png", optimize=True)
    picture("L").save("avif/grey.avif", quality=90, subsampling="4:0:0")
    translucent().save("avif/alpha.avif", quality=90, subsampling="4:4:4")
    translucent().save("avif/premultiplied.avif", quality=90, subsampling="4:4:4", alpha_premultiplied=True)
    frames = small_frame()
    frames[0].save("avif/sequence.avif", save_all=True, append_images=frames[1:], quality=90, subsampling="4:4:4")
    # The quarters by themselves, for grids.
    for index, colour in enumerate(QUARTERS):
        quarter = Image.new("RGB", (WIDTH // 2, HEIGHT // 2), colour)
        quarter.save(f"avif/quarter-{index}.avif", quality=90, subsampling="4:4:4")


if __name__ == "__main__":
    os.makedirs("avif", exist_ok=True)
    avifs()
    os.makedirs("animations", exist_ok=True)
    animations()
    os.makedirs("whole", exist_ok=True)
    wholes()
    os.makedirs("lossless", exist_ok=True)
    lossless()
    picture().save("progressive.jpg", quality=95, progressive=True, subsampling=0)
    picture().save("subsampled.jpg", quality=95, subsampling=2)
    picture("CMYK").save("cmyk.jpg", quality=95)
    ycck("ycck.jpg")
    picture().save("lossy.webp", quality=95)
    translucent().save("lossy-alpha.webp", quality=95)
    busy(61, 45).save("lossy-odd.webp", quality=90)
    busy(61, 45).crop((20, 0, 21, 45)).save("lossy-column.webp", quality=90)
    frames = small_frame()
    frames[0].save("animated.webp", save_all=True, append_images=frames[1:], quality=95, duration=100)
    frames[0].save("animated.gif", save_all=True, append_images=frames[1:], duration=100)
    frames[0].save("animated.png", save_all=True, append_images=frames[1:], duration=100)
    picture().quantize(4).save("palette.png")
    picture("1").save("bilevel.tif", compression="group4")
    picture("CMYK").save("cmyk.tif", compression="tiff_lzw")
    picture().save("jpeg.tif", compression="jpeg", quality=95)
    picture().save("big.tif", compression="tiff_adobe_deflate", tiffinfo={317: 2}, big_tiff=True)
    picture("RGBA").save("packbits.tif", compression="packbits")
    picture().quantize(4).save("palette.tif", compression="tiff_lzw")
    picture("YCbCr").save("ycbcr.tif")
    picture("1").save("group3.tif", compression="group3")
    picture().save("zstd.tif", compression="zstd", tiffinfo={317: 2})
    strips_tiff("webp.tif", 50001, picture(), format="WebP", quality=95)
    strips_tiff("jpeg2000.tif", 33005, picture(), format="JPEG2000", no_jp2=True, mct=1, irreversible=False)
    chroma = Image.merge("RGB", picture("YCbCr").split())
    strips_tiff("jpeg2000-chroma.tif", 33003, chroma, format="JPEG2000", no_jp2=True, mct=0, irreversible=True)
    for kind in ("whole", "strips", "tables"):
        old_jpeg(f"old-jpeg-{kind}.tif", kind)
    picture().quantize(4).save("palette.bmp")
    picture().quantize(4).save("palette.tga", compression="tga_rle")
    picture("RGBA").save("bitmap.ico", bitmap_format="bmp", sizes=[(WIDTH, HEIGHT), (16, 16)])
    for name, options in EIGHTHS.items():
        eighth(name, busy(), **options)
    eighth("grey", busy().convert("L"), quality=85)
    eighth("grey-progressive", busy().convert("L"), quality=85, progressive=True)
